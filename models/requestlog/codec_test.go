package requestlog

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// randomRows are rows as different as rows can be, in no order.
func randomRows(random *rand.Rand, n int) []Row {
	rows := make([]Row, n)
	for i := range rows {
		r := &rows[i]
		*r = Row{
			ID:         ID(random.Int64()),
			ProjectID:  random.Int64N(3),
			KeyID:      random.Int64N(1 << 40),
			Version:    random.IntN(3),
			Status:     random.IntN(600),
			DurationUs: random.Int64N(1 << 30),
			Credits:    random.Int64() - random.Int64(),
			Code:       Code(fmt.Sprint("code", random.IntN(20))),
			Category:   fmt.Sprint("label", random.IntN(4)),
			Method:     fmt.Sprint(random.IntN(12)),
			Path:       fmt.Sprint("/päth/", random.IntN(500)),
			IP:         fmt.Sprint(random.IntN(300)),
		}
		if random.IntN(3) == 0 {
			r.SessionHash = fmt.Append(nil, "session", random.IntN(50))
		}
		if random.IntN(3) > 0 {
			r.Type = []string{"production", "test"}[random.IntN(2)]
		}
		if random.IntN(2) == 0 {
			r.TTFBUs = sql.NullInt64{Int64: random.Int64N(1 << 30), Valid: true}
		}
	}
	return rows
}

func TestRowsAreReadBackAsTheyWereWritten(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 1, 2, 7, 100, 5000} {
		rows := randomRows(random, n)
		data := AppendRows([]byte("before"), rows)
		if !bytes.HasPrefix(data, []byte("before")) {
			t.Fatal("what was there is gone")
		}
		got, err := DecodeRows(data[len("before"):])
		if err != nil || len(got) != n || n > 0 && !reflect.DeepEqual(got, rows) {
			t.Fatalf("%d rows came back as %d, changed; %v", n, len(got), err)
		}
	}
}

func TestSomeRowsAreReadWithoutTheOthers(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	rows := randomRows(random, 1000)
	columns, err := ReadColumns(AppendRows(nil, rows))
	if err != nil {
		t.Fatal(err)
	}
	var positions []int
	var want []Row
	for i := range rows {
		if random.IntN(20) == 0 {
			positions, want = append(positions, i), append(want, rows[i])
		}
	}
	ids, err := columns.IDs()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := columns.Rows(ids, positions[:5]); err != nil || !reflect.DeepEqual(got, want[:5]) {
		t.Errorf("five rows are not those at %v: %v", positions[:5], err)
	}
	if got, err := columns.Rows(ids, positions); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%d rows are not those at %v: %v", len(got), positions, err)
	}
}

func TestDamagedRowsAreAnError(t *testing.T) {
	whole := AppendRows(nil, randomRows(rand.New(rand.NewPCG(3, 3)), 50))
	for n := range len(whole) {
		if _, err := DecodeRows(whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were read as rows", n, len(whole))
		}
	}
	if _, err := DecodeRows(append(bytes.Clone(whole), 0)); err == nil {
		t.Error("a byte too many was not noticed")
	}
	if _, err := DecodeRows(append([]byte{codecVersion + 1}, whole[1:]...)); err == nil {
		t.Error("rows of another version were read")
	}
}

// A number that no text of the list has must be noticed in a whole piece and in a part of it.
func TestATextThatIsNotThereIsAnError(t *testing.T) {
	rows := typicalRows(20, 5)
	data := AppendRows(nil, rows)
	columns, err := ReadColumns(data)
	if err != nil {
		t.Fatal(err)
	}
	columns.columns[ColumnMethod] = []byte{20, 2} // 20 times the text with number 1, of which there is but 0
	ids, _ := columns.IDs()
	for _, positions := range [][]int{{3}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}} {
		if _, err := columns.Rows(ids, positions); err == nil {
			t.Errorf("%d rows were read", len(positions))
		}
	}
}

func FuzzDecodeRequestLogs(f *testing.F) {
	random := rand.New(rand.NewPCG(4, 4))
	for _, n := range []int{0, 1, 3, 40} {
		f.Add(AppendRows(nil, randomRows(random, n)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := DecodeRows(data)
		if err != nil {
			return
		}
		if len(rows) > len(data) {
			t.Fatalf("%d bytes became %d rows", len(data), len(rows))
		}
		again, err := DecodeRows(AppendRows(nil, rows))
		if err != nil || len(rows) > 0 && !reflect.DeepEqual(again, rows) {
			t.Fatalf("what was read does not come back: %v", err)
		}
	})
}

// typicalRows are rows as the gate makes them: one project, many keys and addresses, few of all else.
func typicalRows(n, keys int) []Row {
	at := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	ids, random := &IDs{now: func() time.Time { return at }}, rand.New(rand.NewPCG(5, 5))
	rows := make([]Row, n)
	for i := range rows {
		if i%100 == 0 {
			at = at.Add(time.Millisecond)
		}
		rows[i] = Row{
			ID:         ids.Next(),
			ProjectID:  1,
			KeyID:      1 + random.Int64N(int64(keys)),
			Version:    1,
			Category:   "production",
			Method:     "GET",
			Path:       "/v1/projects/bench/validate",
			Status:     200,
			DurationUs: 20 + random.Int64N(200),
			IP:         fmt.Sprintf("10.0.%d.%d", random.IntN(4), random.IntN(250)),
			Credits:    1,
			Code:       CodeValid,
		}
		if random.IntN(50) == 0 {
			rows[i].Code, rows[i].Status, rows[i].Credits = CodeKeyExpired, 401, 0
		}
	}
	return rows
}

func BenchmarkAppendRequestLogs(b *testing.B) {
	rows := typicalRows(5000, 10_000)
	var data []byte
	b.ReportAllocs()
	for b.Loop() {
		data = AppendRows(data[:0], rows)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
	b.ReportMetric(float64(len(data))/float64(len(rows)), "bytes/row")
}

func BenchmarkDecodeRequestLogs(b *testing.B) {
	rows := typicalRows(512, 10_000)
	data := AppendRows(nil, rows)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeRows(data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
}
