package filter

// Kind says what values a field has.
type Kind uint8

// The kinds of fields.
const (
	Word   Kind = iota // just that text
	Prefix             // that text, or one that begins so; also none at all
	Filled             // as Prefix, and never empty
	Choice             // one of Values
	ID                 // just that number
	Number             // a whole number, compared by all operators
	Moment             // a time, compared by < <= > >=
	Never              // a Moment, or never

	tagged // tag.NAME, else as Prefix
)

// Field is what a key looks at.
type Field struct {
	Name   string
	Kind   Kind
	Values []string // of a Choice
}

func (f *Field) prefixed() bool { return f.Kind == Prefix || f.Kind == Filled || f.Kind == tagged }

// ordered tells whether values have an order that < compares by.
func (f *Field) ordered() bool { return f.Kind >= Number && f.Kind <= Never }

// Language is the fields that filters of a kind of list may name.
type Language []Field

// devices is the language of devices; its order is that of the keys.
var devices = Language{{Name: "state", Kind: Choice, Values: []string{"inactive", "online", "offline", "disabled"}}, {Name: "product"},
	{Name: "sn", Kind: Filled}, {Name: "name", Kind: Prefix}, {Name: "group"}, {Name: "tag", Kind: tagged}, {Name: "created", Kind: Moment}, {Name: "lastSeen", Kind: Never}}

// Parse reads a filter of devices; an empty one is nil, which takes everything. Its errors are *Error.
func Parse(s string) (Expr, error) { return devices.Parse(s) }

// names lists fields as an error does.
func (l Language) names(which func(*Field) bool) (list []string) {
	for i := range l {
		if f := &l[i]; f.Kind != tagged && which(f) {
			list = append(list, f.Name)
		}
	}
	return list
}
