package web

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/claviger/claviger/models"
)

// DecodeJSON reads one JSON object of at most limit bytes into target. A body of another content type, or an empty one,
// is not read. Errors: [models.CodeBadRequest] with the member that is wrong, [models.CodeTooLarge].
func DecodeJSON(w http.ResponseWriter, r *http.Request, limit int64, target any) error {
	contentType := r.Header["Content-Type"]
	if len(contentType) == 0 {
		return nil
	}
	if mediaType, _, err := mime.ParseMediaType(contentType[0]); err != nil || mediaType != "application/json" {
		return nil
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(target)
	if errors.Is(err, io.EOF) {
		return nil // gateways ask without the body and leave its content type in place
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
		return &models.Error{Code: models.CodeTooLarge, Message: "The body is larger than 16 KiB"}
	}
	bad := &models.Error{Code: models.CodeBadRequest, Message: "The body is not valid JSON"}
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
	}
	return "a JSON object"
}
