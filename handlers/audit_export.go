package handlers

import (
	"context"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/web"
)

var auditColumns = []string{
	"row", "time", "actor_kind", "actor_id", "actor", "action", "object_kind", "object_id", "object", "before",
	"after", "address",
}

// exportAudit sends the rows of the audit log that match the filter, newest first.
func (h *Handlers) exportAudit(c echo.Context) error {
	log := h.auditLog(c)
	filter := readAuditQuery(c).filter(h.Now(), web.ExportBatch)
	name := log.name + "-audit-" + h.Now().UTC().Format(time.DateOnly) + ".csv"
	rows := web.NewCSVRows(c, auditColumns, auditFields)
	return web.Export(c, h.Log, name, web.CSVType, rows, func(ctx context.Context) ([]models.AuditRow, bool, error) {
		rows, more, err := h.Store.AuditRows(ctx, log.chain, filter)
		if len(rows) > 0 {
			filter.Before = rows[len(rows)-1].Seq
		}
		return rows, more, err
	})
}

// auditFields returns the values of a row in the order of auditColumns.
func auditFields(row *models.AuditRow) []string {
	return []string{
		strconv.FormatInt(row.Seq, 10), row.At.UTC().Format(web.ExportTime), string(row.ActorKind),
		strconv.FormatInt(row.ActorID, 10),
		row.ActorName,
		row.Action,
		row.ObjectKind,
		strconv.FormatInt(row.ObjectID, 10),
		row.ObjectName,
		row.Before, row.After, row.IP,
	}
}
