package rulesql

// Query is a parsed rule.
type Query struct {
	Dialect Dialect
	Foreach *Foreach // nil: one result a message
	Fields  []Field  // of SELECT or DO; none after FOREACH: the element itself
	From    []string // topic filters
	Where   Expr     // nil: every message
}

// Foreach makes a result of each element of List that meets Incase. Fields and Incase see it as Item, its position as At.
type Foreach struct {
	List     Expr
	Item, At string // At "": no name
	Incase   Expr   // nil: every element
}

// defaultItem is what an element is called when FOREACH does not say.
const defaultItem = "item"

// Field is one thing that SELECT lists: Star for all members of the payload (of Expr, when there is one), or an expression and
// its key in the result.
type Field struct {
	Star bool
	Expr Expr
	Name string
	text string // the expression as it was written
}

// Expr is an expression. String prints it so that it parses to the same.
type Expr interface {
	String() string
	level() int // how tightly it holds together; levels below
}

// The levels, loosest first.
const (
	levelLowest = iota
	levelOr
	levelAnd
	levelNot
	levelCompare // = <> < <= > >= IN LIKE REGEXP IS BETWEEN
	levelAdd     // + - ||
	levelMultiply
	levelNegate
	levelAtom
)

type (
	// Literal is a constant.
	Literal struct{ value val }

	// Path is a field of the payload, or of an element that FOREACH or a SELECT over an array has named: names and array
	// positions. The first step is a name.
	Path struct {
		Steps        []Step
		line, column int
	}

	// Step is a member name, or an element if Name is empty: Index counts from 0, from the end if negative.
	Step struct {
		Name  string
		Index int
	}

	// Star is all of the payload, as the argument of a function.
	Star struct{}

	// Call is a function with its arguments.
	Call struct {
		Name         string
		Args         []Expr
		line, column int
	}

	// Unary is NOT X or -X.
	Unary struct {
		Op string
		X  Expr
	}

	// Binary is X Op Y: AND OR = <> < <= > >= + - || * / %.
	Binary struct {
		Op   string
		X, Y Expr
	}

	// In is X [NOT] IN (List).
	In struct {
		X    Expr
		List []Expr
		Not  bool
	}

	// Like is X [NOT] LIKE Pattern: % stands for any text, _ for one character, \ before either for itself.
	Like struct {
		X, Pattern Expr
		Not        bool
	}

	// Regexp is X [NOT] REGEXP Pattern: the pattern, a constant text in the syntax of RE2, is found in X.
	Regexp struct {
		X, Pattern   Expr
		Not          bool
		line, column int
	}

	// Is is X IS [NOT] NULL, or MISSING.
	Is struct {
		X       Expr
		Missing bool
		Not     bool
	}

	// Between is X [NOT] BETWEEN Low AND High, both included.
	Between struct {
		X, Low, High Expr
		Not          bool
	}

	// Case is CASE [X] WHEN … THEN … [ELSE …] END; X nil: the first condition that is true.
	Case struct {
		X     Expr
		Whens []When
		Else  Expr // nil: missing
	}

	// When is one branch of a Case.
	When struct{ If, Then Expr }

	// Access is X.Name, of what is no Path.
	Access struct {
		X    Expr
		Name string
	}

	// Element is X[At], of what is no Path or has a position that is computed.
	Element struct{ X, At Expr }

	// Slice is X[From:To], To not included, of an array or a text; nil stands for the beginning and the end.
	Slice struct{ X, From, To Expr }

	// List is [Items].
	List struct{ Items []Expr }

	// Object is {Members}. Those that are missing are left out.
	Object struct{ Members []Member }

	// Member is one of an Object.
	Member struct {
		Name  string
		Value Expr
	}

	// Select is (SELECT VALUE Value FROM List AS Item AT At WHERE Where): an array of values, or of objects with Fields. Without
	// Item the names in it are those of the element's members.
	Select struct {
		Value    Expr // nil: Fields
		Fields   []Field
		List     Expr
		Item, At string
		Where    Expr // nil: every element
	}

	// members is X.*, which the parser makes a Field of.
	members struct{ X Expr }
)

func (*Literal) level() int { return levelAtom }
func (*Path) level() int    { return levelAtom }
func (*Star) level() int    { return levelAtom }
func (*Call) level() int    { return levelAtom }
func (*Case) level() int    { return levelAtom }
func (*Access) level() int  { return levelAtom }
func (*Element) level() int { return levelAtom }
func (*Slice) level() int   { return levelAtom }
func (*List) level() int    { return levelAtom }
func (*Object) level() int  { return levelAtom }
func (*Select) level() int  { return levelAtom }
func (*members) level() int { return levelAtom }
func (*In) level() int      { return levelCompare }
func (*Like) level() int    { return levelCompare }
func (*Regexp) level() int  { return levelCompare }
func (*Is) level() int      { return levelCompare }
func (*Between) level() int { return levelCompare }

func (u *Unary) level() int {
	if u.Op == "NOT" {
		return levelNot
	}
	return levelNegate
}

func (b *Binary) level() int { return binaryLevel(b.Op) }

func binaryLevel(op string) int {
	switch op {
	case "OR":
		return levelOr
	case "AND":
		return levelAnd
	case "=", "<>", "<", "<=", ">", ">=":
		return levelCompare
	case "+", "-", "||":
		return levelAdd
	case "*", "/", "%":
		return levelMultiply
	}
	return levelLowest
}
