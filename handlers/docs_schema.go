package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// apiDoc has the parts of the OpenAPI document that the page shows.
type apiDoc struct {
	Info struct{ Description string }
	Tags []struct{ Name, Description string }

	Paths      orderedObject[orderedObject[docOperation]]
	Components struct {
		Parameters map[string]docParameter
		Responses  map[string]docResponse
		Schemas    map[string]docSchema
	}
}

type docOperation struct {
	OperationID, Summary, Description string
	Tags                              []string
	Security                          []map[string][]string
	Parameters                        []docParameter
	RequestBody                       *struct{ Content map[string]docContent }
	Responses                         orderedObject[docResponse]
}

type docContent struct {
	Schema  docSchema
	Example json.RawMessage
}

type docParameter struct {
	Ref                   string `json:"$ref"`
	Name, In, Description string
	Required              bool
	Schema                docSchema
}

type docResponse struct {
	Ref         string `json:"$ref"`
	Description string
	Content     map[string]docContent
}

type docSchema struct {
	Ref                         string `json:"$ref"`
	Type                        typeList
	Enum                        []string
	Const                       any
	Format, Description         string
	MaxLength, Minimum, Maximum *int64
	Items                       *docSchema
	AllOf, AnyOf                []docSchema
	Properties                  orderedObject[docSchema]
	Required                    []string
}

// kind describes the values that the schema allows.
func (d *apiDoc) kind(s *docSchema) string {
	switch {
	case s.Ref != "":
		named := d.Components.Schemas[nameOf(s.Ref)]
		if len(named.Enum) > 0 {
			return d.kind(&named)
		}
		return nameOf(s.Ref)
	case len(s.Enum) > 0:
		return oneOf(s.Enum)
	case s.Const != nil:
		return fmt.Sprint(s.Const)
	}
	var kinds []string
	for i := range s.AnyOf {
		kinds = append(kinds, d.kind(&s.AnyOf[i]))
	}
	for _, word := range s.Type {
		switch {
		case word == "array" && s.Items != nil:
			word = "list of " + d.kind(s.Items)
		case word == "integer":
			word = "whole number"
		case word == "boolean":
			word = "true or false"
		case word == "string" && s.Format == "date-time":
			word = "time"
		}
		kinds = append(kinds, word)
	}
	text := oneOf(kinds)
	switch {
	case s.MaxLength != nil:
		text += fmt.Sprintf(", at most %d characters", *s.MaxLength)
	case s.Minimum != nil && s.Maximum != nil:
		text += fmt.Sprintf(", from %d to %d", *s.Minimum, *s.Maximum)
	case s.Minimum != nil:
		text += fmt.Sprintf(", at least %d", *s.Minimum)
	}
	return text
}

func oneOf(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

// typeList is one type, or a list of types.
type typeList []string

func (l *typeList) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte(`"`)) {
		*l = make(typeList, 1)
		return json.Unmarshal(text, &(*l)[0])
	}
	return json.Unmarshal(text, (*[]string)(l))
}

// orderedObject is a JSON object that keeps the order of its members.
type orderedObject[T any] []member[T]

type member[T any] struct {
	Name  string
	Value T
}

func (o *orderedObject[T]) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if _, err := decoder.Token(); err != nil {
		return err
	}
	for decoder.More() {
		var m member[T]
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		m.Name = fmt.Sprint(name)
		if err := decoder.Decode(&m.Value); err != nil {
			return err
		}
		*o = append(*o, m)
	}
	return nil
}
