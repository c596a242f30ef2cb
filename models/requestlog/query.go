package requestlog

// Query selects rows of a project. ProjectID, To and Limit must be set; of the other fields, zero values do not narrow
// it.
type Query struct {
	ProjectID   int64
	KeyID       int64
	Type        string // of the key
	Category    string // of the key at the time
	Code        Code
	StatusClass int // 2 for 200 to 299
	Method      string
	Path        string
	IP          string
	From, To    ID   // ids in [From, To)
	OldestFirst bool // otherwise newest first
	Limit       int  // the most rows to return
}

// Matches reports whether the row is in the query's range and has its values. It does not compare the project.
func (q *Query) Matches(r *Row) bool {
	return r.ID >= q.From && r.ID < q.To &&
		(q.KeyID == 0 || r.KeyID == q.KeyID) &&
		(q.Type == "" || r.Type == q.Type) &&
		(q.Category == "" || r.Category == q.Category) &&
		(q.Code == "" || r.Code == q.Code) &&
		(q.StatusClass == 0 || r.Status/100 == q.StatusClass) &&
		(q.Method == "" || r.Method == q.Method) &&
		(q.Path == "" || r.Path == q.Path) &&
		(q.IP == "" || r.IP == q.IP)
}
