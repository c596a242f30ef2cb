package models

import (
	"runtime"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

func (s *Store) openPostgres(url string, config *gorm.Config) error {
	db, err := gorm.Open(postgres.Open(url), config)
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
	s.requests = &postgresRequests{db: db, pool: pool}
	return nil
}
