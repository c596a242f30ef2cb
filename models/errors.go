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

// The codes of an [Error] that are not codes of a verdict. web maps each to an HTTP status. An error that means the
// same as a verdict has the verdict's code: see [requestlog.Code].
const (
	CodeNotFound     requestlog.Code = "not_found"
	CodeInvalid      requestlog.Code = "invalid"
	CodeConflict     requestlog.Code = "conflict"
	CodeForbidden    requestlog.Code = "forbidden"
	CodeUnauthorized requestlog.Code = "unauthorized"
	CodeTooMany      requestlog.Code = "too_many"
	CodePlanLimit    requestlog.Code = "plan_limit" // the project's plan does not allow it

	// These occur in the management API only.
	CodeMediaType           requestlog.Code = "unsupported_media_type"
	CodeIdempotencyMismatch requestlog.Code = "idempotency_mismatch"
	CodeSelfRotationOff     requestlog.Code = "self_rotation_off"
	CodeVersionRetiring     requestlog.Code = "version_retiring" // a replaced secret may not rotate its key
)

// Error is a failure that may be shown to the user or caller. Any other error is an internal failure, of which only the
// request id is shown.
type Error struct {
	Code    requestlog.Code
	Message string            // safe to show
	Fields  map[string]string // messages by name of the form field or JSON member; safe to show
	Retry   time.Duration     // after which trying again helps; zero if that is not known
	cause   error             // for the log only
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Message + ": " + e.cause.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.cause }

// Denied returns the error of a request that validate would reject with the code.
func Denied(code requestlog.Code) *Error { return &Error{Code: code, Message: code.Message()} }

// NotFound returns the error for something that does not exist, or that the user may not know of. what is a noun such
// as "key".
func NotFound(what string) *Error {
	return &Error{Code: CodeNotFound, Message: "There is no such " + what + "."}
}

// Conflict returns the error for a change that the current state does not allow. message says why.
func Conflict(message string) *Error { return &Error{Code: CodeConflict, Message: message} }

// Forbidden returns the error for an action that the user's role does not allow. message says why.
func Forbidden(message string) *Error { return &Error{Code: CodeForbidden, Message: message} }

// planLimitError returns the error for something that the project's plan does not allow, or nil if why is empty.
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

// err returns nil if no message was added.
func (f fieldErrors) err() error {
	if len(f) == 0 {
		return nil
	}
	return Invalid(f)
}

// Invalid returns the error for fields of a form or of JSON that break a rule. fields has a message for each.
func Invalid(fields map[string]string) *Error {
	return &Error{Code: CodeInvalid, Message: "Some fields are invalid: see fields.", Fields: fields}
}

func invalidField(field, message string) *Error { return Invalid(map[string]string{field: message}) }

// notFoundAs returns NotFound(what) for GORM's "record not found" and other errors as they are.
func notFoundAs(err error, what string) error {
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return NotFound(what)
	}
	return err
}

// IsUnavailable reports whether err means that the database cannot be reached, did not answer in time, or cannot
// write, so that trying again later helps.
func IsUnavailable(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, driver.ErrBadConn) ||
		errors.As(err, new(*pgconn.ConnectError)) ||
		errors.As(err, new(net.Error)) ||
		sqldb.WriteProblem(err) != ""
}

// IsNotFound reports whether err is an [Error] with [CodeNotFound].
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == CodeNotFound
}

func isDuplicate(err error) bool { return errors.Is(err, gorm.ErrDuplicatedKey) }

// WhyNotWritten returns in a few words why a write failed with err. They are safe to show to anybody.
func WhyNotWritten(err error) string { return sqldb.WhyNotWritten(err) }

// doing puts what was being done in front of an error. Methods of [Store] defer it, so that the log line of a failure
// says where it came from. [Error] and [AlreadyApplied] are replies to the caller and stay as they are.
func doing(err *error, what string) {
	if *err == nil || errors.As(*err, new(*Error)) || errors.As(*err, new(AlreadyApplied)) {
		return
	}
	*err = fmt.Errorf("%s: %w", what, *err)
}
