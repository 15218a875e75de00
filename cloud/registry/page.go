package registry

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// Limits of a page.
const (
	DefaultLimit = 50
	MaxLimit     = 1000
)

// Page says which part of a list is wanted. The zero Page is the first one.
type Page struct {
	Limit  int    // 0 is DefaultLimit; above MaxLimit is MaxLimit
	Cursor string // what the page before returned; opaque to callers
	Sort   string // of devices, see SortCreated; "" is the order of creation unless the filter has a quicker one
}

// cursor is the sort key of the last item of a page.
type cursor struct {
	number int64
	text   string
}

func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.number, 36) + "." + c.text))
}

func (p Page) open() (limit int, after cursor, err error) {
	switch {
	case p.Limit < 0:
		return 0, cursor{}, &ErrInvalid{"limit", "is negative"}
	case p.Limit == 0:
		limit = DefaultLimit
	default:
		limit = min(p.Limit, MaxLimit)
	}
	if p.Cursor == "" {
		return limit, cursor{}, nil
	}
	bad := &ErrInvalid{"cursor", "was not made by this list: leave it out to start again"}
	b, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil {
		return 0, cursor{}, bad
	}
	number, text, ok := strings.Cut(string(b), ".")
	if !ok {
		return 0, cursor{}, bad
	}
	if after.number, err = strconv.ParseInt(number, 36, 64); err != nil {
		return 0, cursor{}, bad
	}
	after.text = text
	return limit, after, nil
}
