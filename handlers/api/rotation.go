package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/web"
)

type rotateBody struct {
	Grace   string `json:"grace"`
	Version int    `json:"version"` // the newest one that the caller knows; 0 for any
}

// rotateKey answers with the key and its new secret. No other response has the secret.
func (a *API) rotateKey(c echo.Context) error {
	ctx, project := c.Request().Context(), callerOf(c).project
	id, err := web.KeyID(c)
	if err != nil {
		return err
	}
	body, err := rawBody(c)
	if err != nil {
		return err
	}
	var in rotateBody
	if err := web.ParseJSON(body, &in); err != nil {
		return err
	}
	if in.Version < 0 {
		return models.Invalid(map[string]string{"version": "Use the number of the newest version that you know."})
	}
	grace, err := graceOf("grace", in.Grace)
	if err != nil {
		return err
	}
	actor, err := idempotentActor(c, body)
	if err != nil {
		return err
	}
	before, err := a.Store.Key(ctx, project.ID, id)
	if err != nil {
		return err
	}
	key, secret, err := a.Store.RotateKey(ctx, project.ID, id, actor, in.Version, grace)
	if err != nil {
		return a.replayKey(c, http.StatusOK, err)
	}
	before.Key = *key
	return a.answerSecret(c, http.StatusOK, before, secret)
}

// graceOf returns the grace with the name; empty means "now". Error: [models.CodeInvalid] for the field.
func graceOf(field, name string) (time.Duration, error) {
	grace, known := models.ParseGrace(name)
	if known {
		return grace, nil
	}
	names := make([]string, len(models.Graces))
	for i, g := range models.Graces {
		names[i] = g.Name
	}
	return 0, models.Invalid(map[string]string{field: chooseOneOf(names)})
}

// versionObject is a version of a key in JSON.
type versionObject struct {
	Version   int                  `json:"version"`
	Status    models.VersionStatus `json:"status"`
	Prefix    string               `json:"prefix"`
	Last4     string               `json:"last4"`
	CreatedBy *string              `json:"created_by"`
	CreatedAt time.Time            `json:"created_at"`
	EndsAt    *time.Time           `json:"ends_at"`
}

func (a *API) listVersions(c echo.Context) error {
	ctx, project := c.Request().Context(), callerOf(c).project
	if err := newQuery(c).err(); err != nil {
		return err
	}
	id, err := web.KeyID(c)
	if err != nil {
		return err
	}
	key, err := a.Store.Key(ctx, project.ID, id)
	if err != nil {
		return err
	}
	versions, err := a.Store.Versions(ctx, project.ID, id)
	if err != nil {
		return err
	}
	page := page[versionObject]{Data: make([]versionObject, len(versions))}
	for i := range versions {
		v := &versions[i]
		page.Data[i] = versionObject{
			Version: v.Number, Status: v.Status(a.Now()), Prefix: v.Prefix + "_" + string(key.Type.SecretKind()),
			Last4:     v.Last4,
			CreatedBy: web.TextOrNull(v.CreatedByName), CreatedAt: v.CreatedAt.UTC(), EndsAt: utc(v.EndsAt),
		}
	}
	return c.JSON(http.StatusOK, page)
}

// endVersion changes the end of a retiring version.
func (a *API) endVersion(c echo.Context) error {
	id, err := web.KeyID(c)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(c.Param("version"))
	if err != nil {
		return models.NotFound("version")
	}
	var body struct {
		In string `json:"in"`
	}
	if err := readBody(c, &body); err != nil {
		return err
	}
	in, err := graceOf("in", body.In)
	if err != nil {
		return err
	}
	ctx, project := c.Request().Context(), callerOf(c).project
	if _, err := a.Store.EndVersion(ctx, project.ID, id, actorOf(c), number, in); err != nil {
		return err
	}
	return a.answerKey(c, id)
}

// rotateSelf rotates the key in X-API-Key: product.md, section 10. It needs no Idempotency-Key: only the newest
// secret may rotate the key, so repeating the request does not rotate it again.
func (a *API) rotateSelf(c echo.Context) error {
	ctx, header := c.Request().Context(), c.Response().Header()
	project, err := a.project(c)
	if err != nil {
		return err
	}
	key, err := a.Gate.Key(ctx, project, strings.TrimSpace(c.Request().Header.Get("X-API-Key")), a.callerIP(c))
	if err != nil {
		return err
	}
	if err := a.rates.Take(header, "key "+strconv.FormatInt(key.KeyID, 10)); err != nil {
		return err
	}
	// The platform is not checked, because a key with platforms cannot rotate itself.
	if code := key.StateDenialCode(a.Now()); code != requestlog.CodeValid {
		return models.Denied(code)
	}
	var in struct {
		Grace string `json:"grace"`
	}
	if err := readBody(c, &in); err != nil {
		return err
	}
	grace, err := graceOf("grace", in.Grace)
	if err != nil {
		return err
	}
	rotated, secret, err := a.Store.RotateKey(ctx, project.ID, key.KeyID, key.Actor(c.RealIP()), key.Version, grace)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, rotatedSelf{
		ID: rotated.ID, Name: rotated.Name, Version: rotated.Version,
		PreviousEndsAt: rotated.RotatedAt.Add(grace).UTC(), Secret: secret.Plain(),
	})
}

// rotatedSelf is the reply to a key. It has less than [issuedKey], because a key may not read the settings of a
// project.
type rotatedSelf struct {
	ID             int64     `json:"id"`
	Name           string    `json:"name"`
	Version        int       `json:"version"`
	PreviousEndsAt time.Time `json:"previous_ends_at"`
	Secret         string    `json:"secret"`
}
