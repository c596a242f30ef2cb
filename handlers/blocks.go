package handlers

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/views/blocks"
	"github.com/claviger/claviger/views/ui"
	"github.com/claviger/claviger/web"
)

const (
	blocksPerPage  = 50
	unknownPerPage = 20
)

// blocks is the page of the blocked addresses of a project, and of those whose block ended in the last day.
func (h *Handlers) blocks(c echo.Context) error {
	m, search := web.Membership(c), strings.TrimSpace(web.QueryText(c.QueryParam("q")))
	before, _ := strconv.ParseInt(c.QueryParam("before"), 10, 64)
	p := blocks.ListProps{
		Root:    projectPath(&m.Project),
		Now:     h.Now(),
		Zone:    web.TimeZone(c),
		Search:  search,
		MayLift: m.Role.May(models.PermitAdminister),
	}
	address := networkText(search)
	page, err := h.Store.AddressBlocks(c.Request().Context(), m.ID, models.AddressBlockFilter{
		Address: address,
		Before:  before,
		Limit:   blocksPerPage,
	})
	if err != nil {
		return err
	}
	for _, b := range page.Blocks {
		p.Blocks = append(p.Blocks, blocks.Item{
			ID: b.ID, Address: b.Address, Since: b.BlockedAt, Until: b.Over(), Lifted: b.LiftedAt != nil,
			Strikes: b.Strikes,
			Next:    minutesOrHours(models.BlockLasts(b.Strikes + 1)),
		})
	}
	if p.Unknown, err = h.unknownKeys(c, m.ID, address); err != nil {
		return err
	}
	query := url.Values{}
	if search != "" {
		query.Set("q", search)
	}
	if before > 0 {
		p.NewestHref = withQuery(p.Root+"/blocks", query)
	}
	if page.Next > 0 {
		query.Set("before", strconv.FormatInt(page.Next, 10))
		p.OlderHref = withQuery(p.Root+"/blocks", query)
	}
	if p.Page, err = h.projectPage(c, "Blocked addresses", tabBlocks); err != nil {
		return err
	}
	return web.Render(c, http.StatusOK, blocks.List(p))
}

func (h *Handlers) unknownKeys(c echo.Context, projectID int64, search string) (blocks.UnknownProps, error) {
	page, err := h.Store.UnknownKeys(c.Request().Context(), projectID, search, unknownPerPage)
	p := blocks.UnknownProps{Days: models.UnknownKeyDays, Addresses: page.Total}
	for _, a := range page.Addresses {
		p.Items = append(p.Items, blocks.UnknownItem{
			Address:  a.Address,
			Requests: a.Requests,
			LastAt:   time.UnixMilli(a.LastAt),
		})
	}
	return p, err
}

// networkText returns an address in the form that throttles and blocks use: of IPv6, its /64.
func networkText(ip string) string {
	if network, ok := models.NetworkOf(ip); ok {
		return network.String()
	}
	return ip
}

// minutesOrHours writes a duration of whole minutes or hours.
func minutesOrHours(d time.Duration) string {
	if d < time.Hour {
		return strconv.Itoa(int(d/time.Minute)) + " minutes"
	}
	if d == time.Hour {
		return "1 hour"
	}
	return strconv.Itoa(int(d/time.Hour)) + " hours"
}

func (h *Handlers) liftBlock(c echo.Context) error {
	m := web.Membership(c)
	id, err := web.PathID(c, "block", "block")
	if err != nil {
		return err
	}
	b, err := h.Store.LiftAddressBlock(c.Request().Context(), m.ID, id, h.actor(c))
	if err != nil {
		return err
	}
	err = h.Sessions.Notify(c, string(ui.KindSuccess),
		"The block of "+b.Address+" is lifted: its requests are checked again.")
	if err != nil {
		return err
	}
	return web.Redirect(c, projectPath(&m.Project)+"/blocks")
}
