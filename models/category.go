package models

import (
	"context"
	"errors"
	"fmt"
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

func (c *Category) auditTarget() AuditTarget { return AuditTarget{"category", c.ID, c.Name} }

// BlockedReason says why the label cannot be renamed or merged into another one, or "" where it can.
func (c *Category) BlockedReason() string {
	if c.BuiltIn {
		return "Every project has the category " + c.Name + ": it stays as it is."
	}
	return ""
}

// CategoryUse is a label with the number of keys that have it, revoked ones included.
type CategoryUse struct {
	Category `gorm:"embedded"`
	KeyCount int64
}

// DeleteBlockedReason says why the label cannot be deleted, or "" where it can.
func (c *CategoryUse) DeleteBlockedReason() string {
	switch why := c.BlockedReason(); {
	case why != "":
		return why
	case c.KeyCount == 1:
		return "One key has this label. Give it another one first, or merge the label."
	case c.KeyCount > 1:
		return fmt.Sprintf("%d keys have this label. Give them another one first, or merge the label.", c.KeyCount)
	}
	return ""
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
	case strings.HasPrefix(trimmed, "+"):
		return "Do not start with +." // forms offer "+new" for a label that is typed
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
func (a *auditedTx) ensureCategory(projectID int64, name string) (*Category, error) {
	name = strings.TrimSpace(name)
	found, err := findCategory(a.tx, projectID, name)
	if !errors.Is(err, gorm.ErrRecordNotFound) {
		return found, err
	}
	return a.addCategory(projectID, name, "category")
}

// addCategory makes a label that is not there yet. field is where a form would show that there is no room for it.
func (a *auditedTx) addCategory(projectID int64, name, field string) (*Category, error) {
	var count int64
	if err := a.tx.Model(&Category{}).Where("project_id = ?", projectID).Count(&count).Error; err != nil {
		return nil, err
	}
	if count >= maxCategories {
		return nil, invalidField(field, "This project has 200 categories already, the most there can be.")
	}
	added := &Category{ProjectID: projectID, Name: name, CreatedAt: a.now}
	if err := a.tx.Create(added).Error; err != nil {
		return nil, labelTaken(err)
	}
	return added, a.log("category.create", added.auditTarget(), nil, AuditSnapshot{"name": name})
}

func labelTaken(err error) error {
	if isDuplicate(err) {
		return invalidField("name", "This project has this label already.")
	}
	return err
}

func findCategory(tx *gorm.DB, projectID int64, name string) (*Category, error) {
	var c Category
	return &c, tx.Where("project_id = ? AND name = ?", projectID, name).Take(&c).Error
}

// Categories lists the labels of a project: the built-in ones, then its own by name.
func (s *Store) Categories(ctx context.Context, projectID int64) (_ []Category, err error) {
	defer doing(&err, "list categories")
	var list []Category
	err = s.read.WithContext(ctx).Where("project_id = ?", projectID).
		Order("built_in DESC, CASE WHEN built_in THEN id END, name").Find(&list).Error
	return list, err
}

// CategoryUses is [Store.Categories] with the number of keys of each.
func (s *Store) CategoryUses(ctx context.Context, projectID int64) (_ []CategoryUse, err error) {
	defer doing(&err, "list categories")
	var list []CategoryUse
	err = s.categoryUses(s.read.WithContext(ctx), projectID).
		Order("built_in DESC, CASE WHEN built_in THEN id END, name").Find(&list).Error
	return list, err
}

// Category reads one label of the project, or [CodeNotFound].
func (s *Store) Category(ctx context.Context, projectID, id int64) (_ *CategoryUse, err error) {
	defer doing(&err, "read category")
	var found CategoryUse
	err = s.categoryUses(s.read.WithContext(ctx), projectID).Where("id = ?", id).Take(&found).Error
	return &found, notFoundAs(err, "category")
}

func (s *Store) categoryUses(tx *gorm.DB, projectID int64) *gorm.DB {
	return tx.Table("categories").
		Select("categories.*, (SELECT COUNT(*) FROM keys WHERE keys.project_id = categories.project_id AND keys.category_id = categories.id) AS key_count").
		Where("project_id = ?", projectID)
}

// CreateCategory adds a label to the project. Errors: field name.
func (s *Store) CreateCategory(
	ctx context.Context, projectID int64, actor Actor, name string,
) (_ *Category, err error) {
	defer doing(&err, "create category")
	name, err = checkLabel(name)
	if err != nil {
		return nil, err
	}
	var added *Category
	err = s.inAuditedTx(ctx, projectID, actor, func(a *auditedTx) error {
		var err error
		added, err = a.addCategory(projectID, name, "name")
		return err
	})
	return added, err
}

// checkLabel trims a label that stands alone in its form. Errors: field name.
func checkLabel(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" {
		return "", invalidField("name", "Enter a label.")
	}
	if problem := categoryProblem(name); problem != "" {
		return "", invalidField("name", problem)
	}
	return name, nil
}

// RenameCategory gives a label another name, which all its keys show from then on. Requests that are in the log keep the
// name they were made under. Errors: field name; [CodeConflict] for a built-in one.
func (s *Store) RenameCategory(
	ctx context.Context, projectID, id int64, actor Actor, name string,
) (_ *Category, err error) {
	defer doing(&err, "rename category")
	return s.changeCategory(ctx, projectID, id, actor, func(a *auditedTx, label *CategoryUse) error {
		if why := label.BlockedReason(); why != "" {
			return Conflict(why)
		}
		name, err := checkLabel(name)
		if err != nil {
			return err
		}
		before := AuditSnapshot{"name": label.Name}
		label.Name = name
		if err := a.tx.Model(&label.Category).Select("name").Updates(&label.Category).Error; err != nil {
			return labelTaken(err)
		}
		return a.log("category.rename", label.auditTarget(), before, AuditSnapshot{"name": name})
	})
}

// MergeCategory moves the keys of one label to another of the project and deletes the first. It gives the second one, and
// how many keys moved. Errors: field into; [CodeConflict] for a built-in first one.
func (s *Store) MergeCategory(
	ctx context.Context, projectID, id, intoID int64, actor Actor,
) (into *Category, moved int64, err error) {
	defer doing(&err, "merge category")
	into = &Category{}
	_, err = s.changeCategory(ctx, projectID, id, actor, func(a *auditedTx, label *CategoryUse) error {
		if why := label.BlockedReason(); why != "" {
			return Conflict(why)
		}
		err := a.tx.Where("project_id = ? AND id = ?", projectID, intoID).Take(into).Error
		if errors.Is(err, gorm.ErrRecordNotFound) || into.ID == label.ID {
			return invalidField("into", "Choose another category of this project.")
		} else if err != nil {
			return err
		}
		result := a.tx.Model(&Key{}).Where("project_id = ? AND category_id = ?", projectID, label.ID).
			UpdateColumns(map[string]any{"category_id": into.ID, "updated_at": a.now})
		if moved = result.RowsAffected; result.Error != nil {
			return result.Error
		}
		if err := a.tx.Delete(&label.Category).Error; err != nil {
			return err
		}
		return a.log("category.merge", label.auditTarget(), AuditSnapshot{"name": label.Name}, AuditSnapshot{"merged_into": into.Name, "keys_moved": moved})
	})
	return into, moved, err
}

// DeleteCategory removes a label that no key has; [CodeConflict] with the reason where that is not possible.
func (s *Store) DeleteCategory(ctx context.Context, projectID, id int64, actor Actor) (_ *Category, err error) {
	defer doing(&err, "delete category")
	return s.changeCategory(ctx, projectID, id, actor, func(a *auditedTx, label *CategoryUse) error {
		if why := label.DeleteBlockedReason(); why != "" {
			return Conflict(why)
		}
		if err := a.tx.Delete(&label.Category).Error; err != nil {
			return err
		}
		return a.log("category.delete", label.auditTarget(), AuditSnapshot{"name": label.Name}, nil)
	})
}

// changeCategory runs fn with a label of the project. Nobody else changes labels or the keys that have them meanwhile:
// all of that holds the chain's lock.
func (s *Store) changeCategory(ctx context.Context, projectID, id int64, actor Actor, fn func(*auditedTx, *CategoryUse) error) (*Category, error) {
	var label CategoryUse
	err := s.inAuditedTx(ctx, projectID, actor, func(a *auditedTx) error {
		err := s.categoryUses(a.tx, projectID).Where("id = ?", id).Take(&label).Error
		if err != nil {
			return notFoundAs(err, "category")
		}
		return fn(a, &label)
	})
	return &label.Category, err
}
