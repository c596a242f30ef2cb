package models

import (
	"context"
	"time"

	"gorm.io/gorm/logger"
)

// queryLogger calls onQuery for each statement. It logs nothing: errors are returned to callers, which log them once,
// and statements contain values that must not be logged.
type queryLogger struct {
	onQuery func()
}

func (q queryLogger) LogMode(logger.LogLevel) logger.Interface { return q }
func (q queryLogger) Info(context.Context, string, ...any)     {}
func (q queryLogger) Warn(context.Context, string, ...any)     {}
func (q queryLogger) Error(context.Context, string, ...any)    {}
func (q queryLogger) Trace(context.Context, time.Time, func() (string, int64), error) {
	if q.onQuery != nil {
		q.onQuery()
	}
}
