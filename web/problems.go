package web

import (
	"errors"

	"github.com/claviger/claviger/models"
)

// fieldsMessage is the heading of a form's messages. The message of [models.Invalid] is for callers of the API.
const fieldsMessage = "Check the highlighted fields."

// FieldProblems returns what a form shows of an error: messages by field, and a message for the form as a whole. An
// error that forms do not show is returned as other.
func FieldProblems(err error) (fields map[string]string, message string, other error) {
	var known *models.Error
	if !errors.As(err, &known) {
		return nil, "", err
	}
	switch known.Code {
	case models.CodeInvalid:
		if len(known.Fields) > 0 {
			return known.Fields, fieldsMessage, nil
		}
		fallthrough
	case models.CodeConflict, models.CodePlanLimit, models.CodeUnauthorized, models.CodeTooMany:
		return known.Fields, known.Message, nil
	}
	return nil, "", err
}

// WithProblems returns an error with the messages of problems and of rules, so that all are shown at once. If both
// have a message for a field, it is that of problems. An error that forms do not show is returned as it is.
func WithProblems(problems map[string]string, rules error) error {
	fields, _, other := FieldProblems(rules)
	if other != nil {
		return other
	}
	for name, text := range fields {
		if problems[name] == "" {
			problems[name] = text
		}
	}
	return models.Invalid(problems)
}
