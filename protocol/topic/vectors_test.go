package topic_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// vector is a file of testdata/vectors; the README there explains the fields.
type vector struct {
	Op, Topic, Filter, Class, Kind, Product, Device, Tail string
	Parse, Match, Valid, Allowed, Gateway, Restricted     bool
}

var classes = map[error]string{
	nil:              "ok",
	topic.ErrLong:    "long",
	topic.ErrForm:    "form",
	topic.ErrProduct: "product",
	topic.ErrDevice:  "device",
	topic.ErrUnknown: "unknown",
	topic.ErrPath:    "path",
}

var templates = append(topic.DefaultTemplates(), topic.Template{Path: "both", Perm: topic.PubSub},
	topic.Template{Path: "cmd/+", Perm: topic.Sub}, topic.Template{Path: "cfg/#", Perm: topic.Sub})

func TestVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/vectors/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var v vector
			if err := json.Unmarshal(b, &v); err != nil {
				t.Fatal(err)
			}
			v.run(t)
		})
	}
}

func (v vector) run(t *testing.T) {
	d := ident.Device{Product: v.Product, SN: v.Device}
	perms := topic.Compile(d, templates, topic.Scope{Restricted: v.Restricted, Gateway: v.Gateway})
	switch v.Op {
	case "parse":
		v.parse(t)
	case "match":
		if got := topic.Match(v.Filter, v.Topic); got != v.Match {
			t.Errorf("Match(%q, %q) = %v, want %v", v.Filter, v.Topic, got, v.Match)
		}
	case "filter":
		if err := topic.ValidFilter(v.Filter); (err == nil) != v.Valid {
			t.Errorf("ValidFilter(%q) = %v, want valid %v", v.Filter, err, v.Valid)
		}
	case "publish":
		got, ok := perms.Publish(v.Topic)
		if ok != v.Allowed {
			t.Fatalf("Publish(%q) = %v, want %v", v.Topic, ok, v.Allowed)
		}
		if want, _ := topic.Parse(v.Topic); ok && got != want {
			t.Errorf("Publish(%q) = %+v, want %+v as Parse gives", v.Topic, got, want)
		}
	case "subscribe":
		if got := perms.Subscribe(v.Filter); got != v.Allowed {
			t.Errorf("Subscribe(%q) = %v, want %v", v.Filter, got, v.Allowed)
		}
	default:
		t.Fatalf("unknown op %q", v.Op)
	}
}

func (v vector) parse(t *testing.T) {
	got, err := topic.Parse(v.Topic)
	if class := classes[err]; class != v.Class {
		t.Fatalf("Parse(%q) = %v (%s), want %s", v.Topic, err, class, v.Class)
	}
	if err != nil {
		return
	}
	if got.Kind.String() != v.Kind || got.Device != (ident.Device{Product: v.Product, SN: v.Device}) || got.Tail != v.Tail || got.Parse != v.Parse {
		t.Errorf("Parse(%q) = %+v, want %+v", v.Topic, got, v)
	}
	if back := got.String(); back != v.Topic {
		t.Errorf("String = %q, want %q", back, v.Topic)
	}
}
