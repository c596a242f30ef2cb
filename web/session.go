package web

import (
	"bytes"
	"crypto/rand"
	"encoding/gob"
	"net/http"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
)

const sessionSecretBytes = 32

// Notice is a message that the next page shows once. It never holds a secret.
type Notice struct {
	Kind string // info, success, warning or danger
	Text string
}

func init() { gob.Register(Notice{}) } // the values of a session are stored as gob

// Sessions stores browser sessions in the database. It is a store of gorilla/sessions: the cookie has a signed random
// secret, the table its hash. Only signed-in visitors have a session.
type Sessions struct {
	store  *models.Store
	codec  securecookie.Codec
	name   string
	secure bool
}

var _ sessions.Store = (*Sessions)(nil)

// NewSessions returns a store that signs cookies with cookieKey. secure is for instances that are reached by https.
func NewSessions(store *models.Store, cookieKey []byte, secure bool) *Sessions {
	codec := securecookie.New(cookieKey, nil)
	codec.MaxAge(int(models.SessionLifetime.Seconds()))
	codec.SetSerializer(securecookie.NopEncoder{})
	name := "claviger_session"
	if secure {
		name = "__Host-" + name // browsers accept it only with Secure, Path=/ and no Domain
	}
	return &Sessions{store: store, codec: codec, name: name, secure: secure}
}

// Keys of the values of a session that are not stored.
type valueKey int

const (
	rowKey    valueKey = iota // *models.Session
	secretKey                 // []byte
)

// Get returns the session of the request, the same one for each call within it.
func (s *Sessions) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

// New reads the session that the request's cookie names. If there is none, it returns a new one without a user.
func (s *Sessions) New(r *http.Request, name string) (*sessions.Session, error) {
	session := sessions.NewSession(s, name)
	session.IsNew = true
	session.Options = &sessions.Options{
		Path: "/", MaxAge: int(models.SessionLifetime.Seconds()), HttpOnly: true, Secure: s.secure,
		SameSite: http.SameSiteLaxMode,
	}
	cookie, err := r.Cookie(name)
	if err != nil {
		return session, nil
	}
	var secret []byte
	if s.codec.Decode(name, cookie.Value, &secret) != nil {
		return session, nil // forged, or signed with a former key: treated like no cookie
	}
	row, err := s.store.FindSession(r.Context(), models.HashSession(secret))
	if models.IsNotFound(err) {
		return session, nil
	}
	if err != nil {
		return session, err
	}
	if len(row.Data) > 0 {
		if err := gob.NewDecoder(bytes.NewReader(row.Data)).Decode(&session.Values); err != nil {
			session.Values = map[any]any{} // written by another version of the program; only notices are lost
		}
	}
	session.IsNew = false
	session.Values[rowKey], session.Values[secretKey] = row, secret
	return session, nil
}

// Save stores the values of the session. A session without a user is not stored.
func (s *Sessions) Save(r *http.Request, _ http.ResponseWriter, session *sessions.Session) error {
	secret, ok := session.Values[secretKey].([]byte)
	if !ok {
		return nil
	}
	data, err := encodeValues(session.Values)
	if err != nil {
		return err
	}
	return s.store.SaveSessionData(r.Context(), models.HashSession(secret), data)
}

func encodeValues(values map[any]any) ([]byte, error) {
	stored := map[any]any{}
	for k, v := range values {
		if _, internal := k.(valueKey); !internal {
			stored[k] = v
		}
	}
	if len(stored) == 0 {
		return nil, nil
	}
	var buffer bytes.Buffer
	err := gob.NewEncoder(&buffer).Encode(stored)
	return buffer.Bytes(), err
}

// SignIn starts a session for the user under a new id and ends the browser's former session.
func (s *Sessions) SignIn(c echo.Context, user *models.User, notices ...Notice) error {
	ctx := c.Request().Context()
	session, err := s.Get(c.Request(), s.name)
	if err != nil {
		return err
	}
	if old, ok := session.Values[secretKey].([]byte); ok {
		if err := s.store.DeleteSession(ctx, models.HashSession(old)); err != nil {
			return err
		}
	}
	session.Values = map[any]any{}
	for _, notice := range notices {
		session.AddFlash(notice)
	}
	data, err := encodeValues(session.Values)
	if err != nil {
		return err
	}
	secret := make([]byte, sessionSecretBytes)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	row, err := s.store.CreateSession(ctx, models.HashSession(secret), user.ID, data, c.RealIP(),
		c.Request().UserAgent())
	if err != nil {
		return err
	}
	row.User = *user
	session.Values[rowKey], session.Values[secretKey] = row, secret
	value, err := s.codec.Encode(s.name, secret)
	if err != nil {
		return err
	}
	http.SetCookie(c.Response(), sessions.NewCookie(s.name, value, session.Options))
	return nil
}

// SignOut ends the browser's session.
func (s *Sessions) SignOut(c echo.Context) error {
	session, err := s.Get(c.Request(), s.name)
	if err != nil {
		return err
	}
	if secret, ok := session.Values[secretKey].([]byte); ok {
		err = s.store.DeleteSession(c.Request().Context(), models.HashSession(secret))
	}
	session.Values = map[any]any{}
	options := *session.Options
	options.MaxAge = -1
	http.SetCookie(c.Response(), sessions.NewCookie(s.name, "", &options))
	return err
}

// Current returns the signed-in session of the request, or nil if there is none.
func (s *Sessions) Current(c echo.Context) (*models.Session, error) {
	session, err := s.Get(c.Request(), s.name)
	if err != nil {
		return nil, err
	}
	row, _ := session.Values[rowKey].(*models.Session)
	return row, nil
}

// Hash returns the hash of the request's session, or the zero hash if there is none.
func (s *Sessions) Hash(c echo.Context) (hash models.SessionHash) {
	if row, err := s.Current(c); err == nil && row != nil {
		copy(hash[:], row.SecretHash)
	}
	return hash
}

// Notify stores a message that the next page shows.
func (s *Sessions) Notify(c echo.Context, kind, text string) error {
	session, err := s.Get(c.Request(), s.name)
	if err != nil {
		return err
	}
	session.AddFlash(Notice{kind, text})
	return session.Save(c.Request(), c.Response())
}

// Notices removes the stored messages and returns them.
func (s *Sessions) Notices(c echo.Context) ([]Notice, error) {
	session, err := s.Get(c.Request(), s.name)
	if err != nil {
		return nil, err
	}
	var notices []Notice
	for _, flash := range session.Flashes() {
		if notice, ok := flash.(Notice); ok {
			notices = append(notices, notice)
		}
	}
	if len(notices) == 0 {
		return nil, nil
	}
	return notices, session.Save(c.Request(), c.Response())
}
