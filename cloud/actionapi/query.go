package actionapi

import (
	"strings"

	"github.com/hawser-iot/hawser/protocol/topic"
)

// The values of TopicType.
const (
	topicUser = "user"
	topicSys  = "sys"
)

// query is a rule's query in the parts that this API has it in. The short topic is what comes behind the product.
type query struct {
	product, shortTopic, topicType string
	fields, where                  string
}

const sysPrefix = "/$system/"

// sql puts the parts together. Each must be what it says: a Select with a FROM in it would choose another topic.
func (q query) sql() (string, error) {
	filter := "/" + q.product + q.shortTopic
	switch q.topicType {
	case topicUser:
	case topicSys:
		filter = sysPrefix + q.product + q.shortTopic
	default:
		return "", bad("TopicType", "must be user or sys")
	}
	if !strings.HasPrefix(q.shortTopic, "/") || topic.ValidFilter(filter) != nil || strings.ContainsAny(filter, "'\"`() \t\r\n") {
		return "", bad("ShortTopic", "must be what follows the product in a topic, like /+/upload")
	}
	text := "SELECT " + q.fields + " FROM " + filter
	if strings.TrimSpace(q.where) != "" {
		text += " WHERE " + q.where
	}
	if back := parseQueryText(text); back.fields != strings.TrimSpace(q.fields) || back.where != strings.TrimSpace(q.where) {
		return "", fault{codeSQL, "Select and Where must not have a FROM or WHERE of their own"}
	}
	return text, nil
}

// parseQueryText takes a query apart, by the words FROM and WHERE that stand outside of quotes and parentheses. Of one that was not made here
// some parts may be missing.
func parseQueryText(sql string) (q query) {
	from, where := wordAt(sql, "FROM", 0), -1
	if from < 0 {
		return q
	}
	if where = wordAt(sql, "WHERE", from); where >= 0 {
		q.where = strings.TrimSpace(sql[where+len("WHERE"):])
	} else {
		where = len(sql)
	}
	if fields := strings.TrimSpace(sql[:from]); len(fields) > len("SELECT") && strings.EqualFold(fields[:len("SELECT")], "SELECT") {
		q.fields = strings.TrimSpace(fields[len("SELECT"):])
	}
	filter := strings.Trim(strings.TrimSpace(sql[from+len("FROM"):where]), `'"`)
	q.topicType = topicUser
	if rest, ok := strings.CutPrefix(filter, sysPrefix); ok {
		q.topicType, filter = topicSys, "/"+rest
	}
	if len(filter) > 1 {
		product, rest, _ := strings.Cut(filter[1:], "/")
		q.product, q.shortTopic = product, "/"+rest
	}
	return q
}

// wordAt finds a word outside of quotes and parentheses from a place on, -1 for none. A quote within quotes is doubled or escaped.
func wordAt(sql, word string, from int) int {
	depth, quote := 0, byte(0)
	for i := from; i < len(sql); i++ {
		switch c := sql[i]; {
		case quote != 0:
			switch c {
			case '\\':
				i++
			case quote:
				quote = 0
			}
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == '(' || c == '[':
			depth++
		case c == ')' || c == ']':
			depth--
		case depth == 0 && len(sql)-i >= len(word) && strings.EqualFold(sql[i:i+len(word)], word) && edge(sql, i-1) && edge(sql, i+len(word)):
			return i
		}
	}
	return -1
}

// edge tells whether no word goes on at i.
func edge(sql string, i int) bool {
	if i < 0 || i >= len(sql) {
		return true
	}
	c := sql[i] | 0x20
	word := c >= 'a' && c <= 'z' || sql[i] >= '0' && sql[i] <= '9' || strings.ContainsRune("_$./-", rune(sql[i]))
	return !word
}
