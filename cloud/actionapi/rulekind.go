package actionapi

import (
	"encoding/json"
	"net"
	"net/url"
	"strings"
)

// kind is a kind of action as this API has it, and how its configuration becomes that of ours and back.
type kind struct {
	name string // ours, of the action and its connector
	// in makes our configuration; connector is "" for an action that has none.
	in func(c config, connector string) (any, error)
	// own makes the configuration of a connector out of an address in the Configuration, nil when there is none. A nil func is a kind
	// without connectors.
	own func(config) map[string]any
	// out makes the Configuration again, but for what the connector has.
	out func(json.RawMessage) map[string]any
	// alone is a kind that need not have a connector when there is an address.
	alone bool
}

// config is a Configuration as it came.
type config map[string]any

func (c config) text(name string) string {
	switch v := c[name].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// host is the address of a server, "" for none. The other platform knows its machines by ResourceID; a program that knows the address may
// call it by one of these names.
func (c config) host() string {
	for _, name := range []string{"Host", "Address", "IP"} {
		if v := c.text(name); v != "" {
			return v
		}
	}
	return ""
}

// ruleKinds are the kinds that there are, by Type.
var ruleKinds = map[string]kind{
	"republish":  {name: "republish", in: republishIn, out: republishOut},
	"http":       {name: "http", in: httpIn, own: func(config) map[string]any { return nil }, out: httpOut, alone: true},
	"mysql":      {name: "mysql", in: rowIn, own: databaseOf, out: rowOut},
	"postgresql": {name: "postgres", in: rowIn, own: databaseOf, out: rowOut},
	"mongodb":    {name: "mongodb", in: documentIn, own: mongoOf, out: documentOut},
	"kafka":      {name: "kafka", in: kafkaIn, own: brokersOf, out: kafkaOut},
	"tsdb":       {name: "tsdb", in: pointIn, own: seriesOf, out: pointOut},
}

// incomplete is a configuration that lacks something.
func incomplete(text string) error { return fault{codeRuleAction, "Configuration: " + text} }

func republishIn(c config, _ string) (any, error) {
	switch {
	case c.text("Topic") == "":
		return nil, incomplete("Topic is missing")
	case c.text("TopicType") != "" && c.text("TopicType") != topicUser:
		return nil, incomplete("TopicType must be user")
	}
	return map[string]any{"topic": c.text("Topic"), "qos": 1}, nil
}

// ours reads our own configuration of an action.
func ours(raw json.RawMessage) config {
	var c config
	_ = json.Unmarshal(raw, &c) // it is our own
	return c
}

func republishOut(raw json.RawMessage) map[string]any {
	return map[string]any{"TopicType": topicUser, "Topic": ours(raw).text("topic")}
}

func httpIn(c config, connector string) (any, error) {
	path := c.text("Path")
	if connector != "" {
		return map[string]any{"connector": connector, "path": path}, nil
	}
	base := c.text("URL")
	if base == "" {
		port := c.text("Port")
		if port == "" {
			port = "80"
		}
		base = "http://" + net.JoinHostPort(c.host(), port)
	}
	if path != "" {
		base = strings.TrimSuffix(base, "/") + "/" + strings.TrimPrefix(path, "/")
	}
	return map[string]any{"url": base}, nil
}

func httpOut(raw json.RawMessage) map[string]any {
	c := ours(raw)
	if c.text("connector") != "" {
		return map[string]any{"Path": c.text("path")}
	}
	u, err := url.Parse(c.text("url"))
	if err != nil {
		return map[string]any{"URL": c.text("url")}
	}
	return map[string]any{"URL": u.Scheme + "://" + u.Host, "Path": u.RequestURI()}
}

// rowIn is a row of a table: Fields are its columns.
func rowIn(c config, connector string) (any, error) {
	fields, _ := c["Fields"].(map[string]any)
	if c.text("Table") == "" || len(fields) == 0 {
		return nil, incomplete("Table and Fields are missing")
	}
	return map[string]any{"connector": connector, "table": c.text("Table"), "columns": fields}, nil
}

func rowOut(raw json.RawMessage) map[string]any {
	c := ours(raw)
	return map[string]any{"Table": c.text("table"), "Fields": c["columns"]}
}

// databaseOf is the connector of a database that is named by its address.
func databaseOf(c config) map[string]any {
	if c.host() == "" {
		return nil
	}
	out := map[string]any{"host": c.host(), "database": c.text("Database"), "user": c.text("Username"), "password": c.text("Password")}
	if port := c.text("Port"); port != "" {
		out["port"] = json.Number(port)
	}
	return out
}

func kafkaIn(c config, connector string) (any, error) {
	if c.text("Topic") == "" {
		return nil, incomplete("Topic is missing")
	}
	return map[string]any{"connector": connector, "topic": c.text("Topic")}, nil
}

func kafkaOut(raw json.RawMessage) map[string]any {
	return map[string]any{"Topic": ours(raw).text("topic")}
}

func brokersOf(c config) map[string]any {
	brokers := strings.Split(c.text("Brokers"), ",")
	if c.text("Brokers") == "" {
		if c.host() == "" {
			return nil
		}
		brokers = []string{c.host()}
		if port := c.text("Port"); port != "" {
			brokers[0] = net.JoinHostPort(c.host(), port)
		}
	}
	out := map[string]any{"brokers": brokers}
	if user := c.text("Username"); user != "" {
		out["sasl"], out["user"], out["password"] = "plain", user, c.text("Password")
	}
	return out
}

// pointIn is a point of a time series; a field is a template, or has a Value and a Type.
func pointIn(c config, connector string) (any, error) {
	given, _ := c["Fields"].(map[string]any)
	if c.text("Measurement") == "" || len(given) == 0 {
		return nil, incomplete("Measurement and Fields are missing")
	}
	fields := map[string]any{}
	for name, v := range given {
		switch v := v.(type) {
		case map[string]any:
			fields[name] = map[string]any{"value": config(v).text("Value"), "type": config(v).text("Type")}
		default:
			fields[name] = map[string]any{"value": config(given).text(name)}
		}
	}
	out := map[string]any{"connector": connector, "measurement": c.text("Measurement"), "fields": fields}
	if tags, ok := c["Tags"].(map[string]any); ok {
		out["tags"] = tags
	}
	if at := c.text("Timestamp"); at != "" {
		out["timestamp"] = map[string]any{"value": at, "unit": "s"}
	}
	return out, nil
}

func pointOut(raw json.RawMessage) map[string]any {
	c := ours(raw)
	fields := map[string]any{}
	given, _ := c["fields"].(map[string]any)
	for name, v := range given {
		field, _ := v.(map[string]any)
		fields[name] = map[string]any{"Value": config(field).text("value"), "Type": config(field).text("type")}
	}
	out := map[string]any{"Measurement": c.text("measurement"), "Fields": fields}
	if c["tags"] != nil {
		out["Tags"] = c["tags"]
	}
	if at, ok := c["timestamp"].(map[string]any); ok {
		out["Timestamp"] = config(at).text("value")
	}
	return out
}

func seriesOf(c config) map[string]any {
	base := c.text("URL")
	if base == "" {
		if c.host() == "" {
			return nil
		}
		port := c.text("Port")
		if port == "" {
			port = "8086"
		}
		base = "http://" + net.JoinHostPort(c.host(), port)
	}
	return map[string]any{"url": base, "database": c.text("Database"), "user": c.text("Username"), "password": c.text("Password")}
}

// documentIn is a document of a collection.
func documentIn(c config, connector string) (any, error) {
	if c.text("Database") == "" || c.text("Collection") == "" {
		return nil, incomplete("Database and Collection are missing")
	}
	return map[string]any{"connector": connector, "database": c.text("Database"), "collection": c.text("Collection")}, nil
}

func documentOut(raw json.RawMessage) map[string]any {
	c := ours(raw)
	return map[string]any{"Database": c.text("database"), "Collection": c.text("collection")}
}

func mongoOf(c config) map[string]any {
	if c.host() == "" {
		return nil
	}
	host := c.host()
	if port := c.text("Port"); port != "" {
		host = net.JoinHostPort(host, port)
	}
	out := map[string]any{"hosts": []string{host}}
	if user := c.text("Username"); user != "" {
		out["user"], out["password"] = user, c.text("Password")
	}
	return out
}
