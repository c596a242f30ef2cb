package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// DecodeJSON reads one JSON object of at most limit bytes into target. It ignores a body of another content type, and
// an empty one. Errors: [requestlog.CodeBadRequest] with the field that is wrong, [requestlog.CodeTooLarge].
func DecodeJSON(w http.ResponseWriter, r *http.Request, limit int64, target any) error {
	contentType := r.Header["Content-Type"]
	if len(contentType) == 0 {
		return nil
	}
	if mediaTypeOf(contentType[0]) != "application/json" {
		return nil
	}
	return decodeStrictly(http.MaxBytesReader(w, r.Body, limit), target)
}

// ReadJSONBody returns a body of at most limit bytes; nil if it is empty. Errors: [models.CodeMediaType] if the content
// type is not JSON, [requestlog.CodeTooLarge].
func ReadJSONBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return nil, badJSON(err)
	}
	if len(body) == 0 {
		return nil, nil
	}
	mediaType := mediaTypeOf(r.Header.Get("Content-Type"))
	if mediaType != "application/json" && mediaType != "application/merge-patch+json" {
		return nil, &models.Error{Code: models.CodeMediaType,
			Message: "The body must be JSON, with Content-Type: application/json"}
	}
	return body, nil
}

// mediaTypeOf returns a Content-Type in lower case and without its parameters. Malformed parameters do not matter.
func mediaTypeOf(contentType string) string {
	mediaType, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(mediaType))
}

// ParseJSON reads one JSON object into target; fields that are absent leave target unchanged. Errors: as [DecodeJSON].
func ParseJSON(body []byte, target any) error { return decodeStrictly(bytes.NewReader(body), target) }

func decodeStrictly(body io.Reader, target any) error {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(target)
	if errors.Is(err, io.EOF) {
		return nil // some gateways drop the body and keep its Content-Type
	}
	if err == nil {
		if _, err = decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = errors.New("more than one JSON value")
		}
	}
	return badJSON(err)
}

func badJSON(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &models.Error{Code: requestlog.CodeTooLarge, Message: fmt.Sprintf("The body is larger than %d KiB",
			tooLarge.Limit>>10)}
	}
	bad := &models.Error{Code: requestlog.CodeBadRequest, Message: "The body is not valid JSON"}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		bad.Message = "The body has a value of the wrong type"
		if wrongType.Field != "" {
			bad.Fields = map[string]string{wrongType.Field: "must be " + typeName(wrongType.Type.Kind().String())}
		}
	} else if field, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
		bad.Message = "The body has an unknown field"
		bad.Fields = map[string]string{strings.Trim(field, `"`): "is not known"}
	}
	return bad
}

func typeName(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "a whole number"
	case kind == "bool":
		return "true or false"
	case kind == "string":
		return "a string"
	case kind == "slice":
		return "a list"
	}
	return "a JSON object"
}

// TextOrNull returns nil, which is null in JSON, for an empty text.
func TextOrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
