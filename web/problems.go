package web

import (
	"errors"

	"github.com/claviger/claviger/models"
)

// FieldProblems takes the messages out of an error that a form can show: those of fields, and a message for the whole
// form where the rest is in order. Other errors come back as they are.
func FieldProblems(err error) (fields map[string]string, message string, other error) {
	var known *models.Error
	if !errors.As(err, &known) {
		return nil, "", err
	}
	switch known.Code {
	case models.CodeInvalid, models.CodeConflict, models.CodePlanLimit, models.CodeUnauthorized, models.CodeTooMany:
		return known.Fields, known.Message, nil
	}
	return nil, "", err
}

// WithProblems adds what the rules say to problems of shape, so that the caller learns of all of it at once.
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
