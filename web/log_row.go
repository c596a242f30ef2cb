package web

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// LogObject is a request in JSON, as the API and the exports have it.
type LogObject struct {
	ID         string          `json:"id"`
	At         time.Time       `json:"at"`
	KeyID      int64           `json:"key_id"`
	KeyName    *string         `json:"key_name"` // the current name; null if the key was deleted
	Version    int             `json:"version"`
	Type       string          `json:"type"`     // of the key
	Category   string          `json:"category"` // at the time
	Method     string          `json:"method"`
	Path       string          `json:"path"`
	Status     int             `json:"status"`
	Code       requestlog.Code `json:"code"`
	DurationMS float64         `json:"duration_ms"` // of validate
	TTFBMS     *float64        `json:"ttfb_ms"`     // of the app; null if it reported none
	IP         string          `json:"ip"`
	Credits    int64           `json:"credits"`
	Session    *string         `json:"session"` // hashed; null if the request named none
}

// NewLogObject returns the object of a row.
func NewLogObject(e *models.LogEntry) LogObject {
	var ttfb *float64
	if e.TTFBUs.Valid {
		ttfb = new(float64(e.TTFBUs.Int64) / 1000)
	}
	return LogObject{
		ID: e.ID.String(), At: e.ID.Time(), KeyID: e.KeyID, KeyName: TextOrNull(e.KeyName), Version: e.Version,
		Type: string(e.Type), Category: e.Category, Method: e.Method, Path: e.Path, Status: e.Status, Code: e.Code,
		DurationMS: float64(e.DurationUs) / 1000, TTFBMS: ttfb, IP: e.IP, Credits: e.Credits,
		Session: TextOrNull(hex.EncodeToString(e.SessionHash)),
	}
}

// LogColumns are the fields of [LogObject] in their order: the header line of an export.
var LogColumns = []string{
	"id", "at", "key_id", "key_name", "version", "type", "category", "method", "path", "status", "code",
	"duration_ms", "ttfb_ms", "ip", "credits", "session",
}

// LogFields returns the values of a row in the order of [LogColumns]. What is null in JSON is empty.
func LogFields(e *models.LogEntry) []string {
	ttfb := ""
	if e.TTFBUs.Valid {
		ttfb = milliseconds(e.TTFBUs.Int64)
	}
	return []string{
		e.ID.String(), e.ID.Time().UTC().Format(ExportTime), strconv.FormatInt(e.KeyID, 10), e.KeyName,
		strconv.Itoa(e.Version), string(e.Type), e.Category, e.Method, e.Path, strconv.Itoa(e.Status), string(e.Code),
		milliseconds(e.DurationUs), ttfb, e.IP, strconv.FormatInt(e.Credits, 10), hex.EncodeToString(e.SessionHash),
	}
}

func milliseconds(us int64) string { return strconv.FormatFloat(float64(us)/1000, 'f', -1, 64) }
