package models

import (
	"context"
	"fmt"
	"net/url"
	"runtime"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// connectSeconds ends an attempt to connect. Without an end, attempts at a server that does not answer would take up the whole
// pool, for minutes after it is back.
const connectSeconds = "3"

func (s *Store) openPostgres(address string, config *gorm.Config) error {
	if u, err := url.Parse(address); err == nil { // else gorm says what is wrong
		if query := u.Query(); !query.Has("connect_timeout") {
			query.Set("connect_timeout", connectSeconds)
			u.RawQuery = query.Encode()
			address = u.String()
		}
	}
	db, err := gorm.Open(postgres.Open(address), config)
	if err != nil {
		return err
	}
	pool, err := db.DB()
	if err != nil {
		return err
	}
	connections := max(8, 4*runtime.NumCPU())
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	s.read, s.write = db, db
	s.requests = &postgresRequests{pool: pool}
	return nil
}

// schema is the one that the connections work in.
func (s *Store) schema(ctx context.Context) (schema string, err error) {
	if err := s.read.WithContext(ctx).Raw("SELECT current_schema()").Row().Scan(&schema); err != nil {
		return "", fmt.Errorf("cannot tell which schema to work in: %w", err)
	}
	return schema, nil
}
