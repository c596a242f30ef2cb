package models

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
)

// The codes of an [Error] that are not codes of a verdict: what kind of failure it is. web decides which HTTP status each
// becomes. Where an error means the same as a verdict, it has that code: see [requestlog.Code].
const (
	CodeNotFound     requestlog.Code = "not_found"
	CodeInvalid      requestlog.Code = "invalid"
	CodeConflict     requestlog.Code = "conflict"
	CodeForbidden    requestlog.Code = "forbidden"
	CodeUnauthorized requestlog.Code = "unauthorized"
	CodeTooMany      requestlog.Code = "too_many"
	CodePlanLimit    requestlog.Code = "plan_limit" // the project's plan does not allow it

	// These occur in the management API alone.
	CodeMediaType           requestlog.Code = "unsupported_media_type"
	CodeIdempotencyMismatch requestlog.Code = "idempotency_mismatch"
	CodeSelfRotationOff     requestlog.Code = "self_rotation_off"
	CodeVersionRetiring     requestlog.Code = "version_retiring" // a replaced secret may not rotate its key
)

// Error is every failure that a person or a caller may be told about. Message and Fields are safe to show; Retry is when asking
// again helps, zero where that is not known; cause is for the log alone. Any other error is a fault of ours and is shown as a request id only.
type Error struct {
	Code    requestlog.Code
	Message string
	Fields  map[string]string // messages by the name of the form field or JSON member
	Retry   time.Duration
	cause   error
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Message + ": " + e.cause.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.cause }

// Denied is the error of a request that validate would deny with the code.
func Denied(code requestlog.Code) *Error { return &Error{Code: code, Message: code.Message()} }

// NotFound says that what (a noun such as "key") does not exist, or not for the one who asks.
func NotFound(what string) *Error {
	return &Error{Code: CodeNotFound, Message: "There is no such " + what + "."}
}

// Conflict says that the present state does not allow what was asked, and why.
func Conflict(message string) *Error { return &Error{Code: CodeConflict, Message: message} }

// Forbidden says that the asker's role does not allow what was asked.
func Forbidden(message string) *Error { return &Error{Code: CodeForbidden, Message: message} }

// planLimit is an error with the reason why the project's plan does not allow something; nil where there is none.
func planLimitError(why string) error {
	if why == "" {
		return nil
	}
	return &Error{Code: CodePlanLimit, Message: why}
}

// fieldErrors collects messages by field, the first one for each.
type fieldErrors map[string]string

func (f fieldErrors) add(field, message string) {
	if _, taken := f[field]; !taken && message != "" {
		f[field] = message
	}
}

// err is nil where no message was added.
func (f fieldErrors) err() error {
	if len(f) == 0 {
		return nil
	}
	return Invalid(f)
}

// Invalid says what is wrong with which field, of a form or of JSON.
func Invalid(fields map[string]string) *Error {
	return &Error{Code: CodeInvalid, Message: "Some fields are not as they should be.", Fields: fields}
}

func invalidField(field, message string) *Error { return Invalid(map[string]string{field: message}) }

// notFoundAs turns GORM's "no row" into NotFound(what) and leaves other errors as they are.
func notFoundAs(err error, what string) error {
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return NotFound(what)
	}
	return err
}

// IsUnavailable tells whether err says that the database cannot be reached, did not answer in time, or cannot write: asking again
// later helps.
func IsUnavailable(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, driver.ErrBadConn) ||
		errors.As(err, new(*pgconn.ConnectError)) || errors.As(err, new(net.Error)) || sqldb.WriteProblem(err) != ""
}

// IsNotFound tells whether err says that something does not exist.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == CodeNotFound
}

func isDuplicate(err error) bool { return errors.Is(err, gorm.ErrDuplicatedKey) }

// WhyNotWritten says in a few words why an error kept the database from writing. They may be shown to anybody.
func WhyNotWritten(err error) string { return sqldb.WhyNotWritten(err) }

// doing says in front of an error what was being done: methods of [Store] defer it, so that the log line of a failure tells
// where it came from. Errors that are answers for the caller, [Error] and [Done], stay as they are.
func doing(err *error, what string) {
	if *err == nil || errors.As(*err, new(*Error)) || errors.As(*err, new(AlreadyApplied)) {
		return
	}
	*err = fmt.Errorf("%s: %w", what, *err)
}
