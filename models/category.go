package models

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"
)

// Category is an organisational tag of keys. It never changes a verdict.
type Category struct {
	ID        int64
	ProjectID int64
	Name      string
	BuiltIn   bool
	CreatedAt time.Time
}

// BuiltInCategories every project has, in the order in which forms offer them.
var BuiltInCategories = []string{"production", "development", "staging"}

const (
	maxCategory = 40
	// maxCategories bounds the labels of one project: forms list all of them.
	maxCategories = 200
)

// categoryProblem says what is wrong with a label, or "".
func categoryProblem(name string) string {
	trimmed, printable := oneLine(name)
	switch {
	case trimmed == "":
		return "Choose a category or enter a new label."
	case !printable:
		return "Use printable characters only."
	case utf8.RuneCountInString(trimmed) > maxCategory:
		return "Use at most 40 characters."
	}
	return ""
}

func createBuiltInCategories(tx *gorm.DB, projectID int64, now time.Time) error {
	rows := make([]Category, len(BuiltInCategories))
	for i, name := range BuiltInCategories {
		rows[i] = Category{ProjectID: projectID, Name: name, BuiltIn: true, CreatedAt: now}
	}
	return tx.Create(&rows).Error
}

// ensureCategory finds the label in the project or adds it.
func (c *change) ensureCategory(projectID int64, name string) (*Category, error) {
	name = strings.TrimSpace(name)
	found, err := findCategory(c.tx, projectID, name)
	if !errors.Is(err, gorm.ErrRecordNotFound) {
		return found, err
	}
	var count int64
	if err := c.tx.Model(&Category{}).Where("project_id = ?", projectID).Count(&count).Error; err != nil {
		return nil, err
	}
	if count >= maxCategories {
		return nil, invalidField("category", "This project has 200 categories already, the most there can be.")
	}
	added := &Category{ProjectID: projectID, Name: name, CreatedAt: c.now}
	if err := c.tx.Create(added).Error; err != nil {
		return nil, err
	}
	return added, c.log("category.create", Object{"category", added.ID, name}, nil, Facts{"name": name})
}

func findCategory(tx *gorm.DB, projectID int64, name string) (*Category, error) {
	var c Category
	return &c, tx.Where("project_id = ? AND name = ?", projectID, name).Take(&c).Error
}

// Categories lists the labels of a project: the built-in ones, then its own by name.
func (s *Store) Categories(ctx context.Context, projectID int64) ([]Category, error) {
	var list []Category
	err := s.read.WithContext(ctx).Where("project_id = ?", projectID).
		Order("built_in DESC, CASE WHEN built_in THEN id END, name").Find(&list).Error
	return list, err
}
