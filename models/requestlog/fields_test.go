package requestlog_test

import (
	"database/sql"
	"reflect"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models/requestlog"
)

// fullRow returns a row in which every field has a value of its own.
func fullRow(t *testing.T, id requestlog.ID) requestlog.Row {
	t.Helper()
	var row requestlog.Row
	fields := reflect.ValueOf(&row).Elem()
	for i := range fields.NumField() {
		name, number := fields.Type().Field(i).Name, int64(100+i)
		switch f := fields.Field(i); f.Interface().(type) {
		case requestlog.ID:
			f.Set(reflect.ValueOf(id))
		case sql.NullInt64:
			f.Set(reflect.ValueOf(sql.NullInt64{Int64: number, Valid: true}))
		case []byte:
			f.SetBytes([]byte(name))
		case string, requestlog.Code:
			f.SetString(name)
		case int, int64:
			f.SetInt(number)
		default:
			t.Fatalf("the field %s has a type that this test does not know", name)
		}
	}
	return row
}

// A new column that is forgotten in one of the codecs or statements would be lost in silence.
func TestEveryFieldOfARowIsStored(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		log := testkit.Store(t, url, testkit.NewClock(), nil).Log()
		ids, err := log.NewIDs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		row := fullRow(t, ids.Next())
		if err := log.Write(t.Context(), []requestlog.Row{row}); err != nil {
			t.Fatal(err)
		}
		q := requestlog.Query{ProjectID: row.ProjectID, To: requestlog.EndOfIDs, Limit: 2}
		for range 2 {
			rows, err := log.List(t.Context(), q)
			if err != nil || len(rows) != 1 || !reflect.DeepEqual(rows[0], row) {
				t.Errorf("stored %+v\nread   %+v (%v)", row, rows, err)
			}
			q.KeyID = row.KeyID // the second time by the index of keys
		}
	})
}

func TestEveryFieldOfARowIsEncoded(t *testing.T) {
	row := fullRow(t, 7)
	rows, err := requestlog.DecodeRows(requestlog.AppendRows(nil, []requestlog.Row{row}))
	if err != nil || len(rows) != 1 || !reflect.DeepEqual(rows[0], row) {
		t.Errorf("encoded %+v\ndecoded %+v (%v)", row, rows, err)
	}
}
