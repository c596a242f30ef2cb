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

// Category is a label that a project sorts its keys by. It never changes a verdict.
type Category struct {
	ID        int64
	ProjectID int64
	Name      string
	BuiltIn   bool
	CreatedAt time.Time
}

func (c *Category) auditTarget() AuditTarget { return AuditTarget{"category", c.ID, c.Name} }

// BlockedReason returns why the category cannot be renamed or merged into another one, or "" if it can.
func (c *Category) BlockedReason() string {
	if c.BuiltIn {
		return "The category " + c.Name + " is built in and cannot be changed."
	}
	return ""
}

// CategoryUse is a category with the number of keys that have it, including revoked ones.
type CategoryUse struct {
	Category `gorm:"embedded"`
	KeyCount int64
}

// DeleteBlockedReason returns why the category cannot be deleted, or "" if it can.
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

// BuiltInCategories are the categories that every project has, in the order in which forms offer them.
var BuiltInCategories = []string{"production", "development", "staging"}

const (
	maxCategory = 40
	// maxCategories bounds the categories of one project, because forms list all of them.
	maxCategories = 200
)

// categoryProblem returns what is wrong with the name of a category, or "".
func categoryProblem(name string) string {
	trimmed, printable := oneLine(name)
	switch {
	case trimmed == "":
		return "Choose a category or enter a new label."
	case !printable:
		return "Use printable characters only."
	case strings.HasPrefix(trimmed, "+"):
		return "Do not start with +." // forms use "+new" for the choice to type a new name
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

// ensureCategory returns the category of that name in the project and creates it if there is none.
func (a *auditedTx) ensureCategory(projectID int64, name string) (*Category, error) {
	name = strings.TrimSpace(name)
	found, err := findCategory(a.tx, projectID, name)
	if !errors.Is(err, gorm.ErrRecordNotFound) {
		return found, err
	}
	return a.addCategory(projectID, name, "category")
}

// addCategory creates a category. If the project has as many as it may have, the error is at field.
func (a *auditedTx) addCategory(projectID int64, name, field string) (*Category, error) {
	var count int64
	if err := a.tx.Model(&Category{}).Where("project_id = ?", projectID).Count(&count).Error; err != nil {
		return nil, err
	}
	if count >= maxCategories {
		return nil, invalidField(field, "This project already has 200 categories, the most that it may have.")
	}
	added := &Category{ProjectID: projectID, Name: name, CreatedAt: a.now}
	if err := a.tx.Create(added).Error; err != nil {
		return nil, labelTaken(err)
	}
	return added, a.log("category.create", added.auditTarget(), nil, AuditSnapshot{"name": name})
}

func labelTaken(err error) error {
	if isDuplicate(err) {
		return invalidField("name", "This project already has this label.")
	}
	return err
}

func findCategory(tx *gorm.DB, projectID int64, name string) (*Category, error) {
	var c Category
	return &c, tx.Where("project_id = ? AND name = ?", projectID, name).Take(&c).Error
}

// Categories lists the categories of a project: the built-in ones, then its own by name.
func (s *Store) Categories(ctx context.Context, projectID int64) (_ []Category, err error) {
	defer doing(&err, "list categories")
	var list []Category
	err = s.read.WithContext(ctx).Where("project_id = ?", projectID).
		Order("built_in DESC, CASE WHEN built_in THEN id END, name").Find(&list).Error
	return list, err
}

// CategoryUses is [Store.Categories] with the number of keys of each category.
func (s *Store) CategoryUses(ctx context.Context, projectID int64) (_ []CategoryUse, err error) {
	defer doing(&err, "list categories")
	var list []CategoryUse
	err = s.categoryUses(s.read.WithContext(ctx), projectID).
		Order("built_in DESC, CASE WHEN built_in THEN id END, name").Find(&list).Error
	return list, err
}

// Category reads one category of the project, or [CodeNotFound].
func (s *Store) Category(ctx context.Context, projectID, id int64) (_ *CategoryUse, err error) {
	defer doing(&err, "read category")
	var found CategoryUse
	err = s.categoryUses(s.read.WithContext(ctx), projectID).Where("id = ?", id).Take(&found).Error
	return &found, notFoundAs(err, "category")
}

func (s *Store) categoryUses(tx *gorm.DB, projectID int64) *gorm.DB {
	return tx.Table("categories").
		Select(`
			categories.*,
			(
				SELECT COUNT(*)
				FROM keys
				WHERE keys.project_id = categories.project_id AND keys.category_id = categories.id
			) AS key_count
		`).
		Where("project_id = ?", projectID)
}

// CreateCategory adds a category to the project. Errors: field name.
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

// checkLabel trims and checks the name of a category in a form that has no other field. Errors: field name.
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

// RenameCategory gives a category another name, which all its keys have from then on. Logged requests keep the name of
// their time. Errors: field name; [CodeConflict] for a built-in category.
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

// MergeCategory moves the keys of the category id to the category intoID of the same project and deletes the first. It
// returns the second and how many keys moved. Errors: field into; [CodeConflict] if the first is built in.
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
		before, after := AuditSnapshot{"name": label.Name}, AuditSnapshot{"merged_into": into.Name, "keys_moved": moved}
		return a.log("category.merge", label.auditTarget(), before, after)
	})
	return into, moved, err
}

// DeleteCategory removes a category that no key has. The error is [CodeConflict] with the reason if that is not
// possible.
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

// changeCategory runs fn with a category of the project in an audit transaction. Other changes of the project's
// categories and keys wait meanwhile, because they need the chain's lock.
func (s *Store) changeCategory(
	ctx context.Context, projectID, id int64, actor Actor, fn func(*auditedTx, *CategoryUse) error,
) (*Category, error) {
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
