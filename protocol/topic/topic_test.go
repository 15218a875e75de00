package topic_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

var device = ident.Device{Product: "70ly1tvowt696r15", SN: "dev-01:a"}

// TestInverse builds a topic of every kind and takes it apart again.
func TestInverse(t *testing.T) {
	for k := range topic.Kinds {
		want := topic.Topic{Kind: k, Device: device}
		if k == topic.CommandReply {
			want.Tail = "42"
		}
		name := want.String()
		got, err := topic.Parse(name)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", name, got, err, want)
		}
		if k != topic.CommandReply && topic.System(device, k) != name {
			t.Errorf("System(%v) = %q, want %q", k, topic.System(device, k), name)
		}
		if got := string(topic.AppendSystem(nil, device, k)); got != topic.System(device, k) {
			t.Errorf("AppendSystem(%v) = %q", k, got)
		}
		if err := topic.ValidName(name); err != nil {
			t.Errorf("ValidName(%q) = %v", name, err)
		}
	}
}

// TestDirections holds the table against what a session may do: each system topic in its direction and no other.
func TestDirections(t *testing.T) {
	gateway := topic.Compile(device, nil, topic.Scope{Gateway: true})
	plain := topic.Compile(device, nil, topic.Scope{})
	restricted := topic.Compile(device, nil, topic.Scope{Restricted: true})
	for k := range topic.Kinds {
		name := topic.Topic{Kind: k, Device: device}.String()
		if k == topic.CommandReply {
			name += "42"
		}
		pub, sub := k.Direction()&topic.Pub != 0, k.Direction()&topic.Sub != 0
		for who, p := range map[string]*topic.Permissions{"gateway": gateway, "plain": plain, "restricted": restricted} {
			allowed := who == "gateway" || who == "plain" && !k.GatewayOnly() || k == topic.Password || k == topic.PasswordReply
			if _, got := p.Publish(name); got != (pub && allowed) {
				t.Errorf("%s: Publish(%q) = %v, want %v", who, name, got, pub && allowed)
			}
			if got := p.Subscribe(name); got != (sub && allowed) {
				t.Errorf("%s: Subscribe(%q) = %v, want %v", who, name, got, sub && allowed)
			}
		}
	}
}

func TestReply(t *testing.T) {
	for k := range topic.Kinds {
		r := k.Reply()
		if r == topic.Invalid {
			continue
		}
		a, b := k.String(), r.String()
		stem := strings.NewReplacer("upstream", "downstream", "request", "response").Replace(a)
		if b != a+"_reply" && b != stem {
			t.Errorf("Reply of %s is %s", a, b)
		}
	}
	if got := topic.LogPost.Reply(); got != topic.Invalid {
		t.Errorf("Reply of log/post is %v", got)
	}
}

func TestNilPermissions(t *testing.T) {
	var p *topic.Permissions
	if _, ok := p.Publish(topic.System(device, topic.ShadowGet)); ok || p.Subscribe(topic.System(device, topic.ShadowGetReply)) {
		t.Error("nil permissions allow something")
	}
}

func TestCheckTemplate(t *testing.T) {
	tests := []struct {
		path string
		perm topic.Direction
		want error
	}{
		{"upload", topic.Pub, nil},
		{"a/b/c/d/e", topic.PubSub, nil},
		{"A-Z:@_9", topic.Sub, nil},
		{"cmd/+", topic.Sub, nil},
		{"+/x/#", topic.Sub, nil},
		{"#", topic.Sub, nil},
		{"a/b/c/d/e/f", topic.Pub, topic.ErrPath},
		{"a/b/c/d/e/#", topic.Sub, topic.ErrPath},
		{"", topic.Pub, topic.ErrPath},
		{"a/", topic.Pub, topic.ErrPath},
		{"/a", topic.Pub, topic.ErrPath},
		{"a b", topic.Sub, topic.ErrPath},
		{"a b/+", topic.Sub, topic.ErrPath},
		{"a?parse=true", topic.Pub, topic.ErrPath},
		{strings.Repeat("x", 65), topic.Pub, topic.ErrPath},
		{"cmd/+", topic.Pub, topic.ErrTemplateWildcard},
		{"cmd/#", topic.PubSub, topic.ErrTemplateWildcard},
		{"cmd/#/x", topic.Sub, topic.ErrTemplateWildcard},
		{"cmd/x+", topic.Sub, topic.ErrTemplateWildcard},
		{"upload", topic.RuleOnly, topic.ErrTemplatePerm},
		{"upload", 7, topic.ErrTemplatePerm},
	}
	for _, tt := range tests {
		if got := topic.CheckTemplate(topic.Template{Path: tt.path, Perm: tt.perm}); !errors.Is(got, tt.want) {
			t.Errorf("CheckTemplate(%q, %v) = %v, want %v", tt.path, tt.perm, got, tt.want)
		}
	}
	for _, d := range topic.DefaultTemplates() {
		if err := topic.CheckTemplate(d); err != nil {
			t.Errorf("default %q: %v", d.Path, err)
		}
	}
}

func TestDirectionText(t *testing.T) {
	for d := topic.RuleOnly; d <= topic.PubSub; d++ {
		if got, ok := topic.ParseDirection(d.String()); !ok || got != d {
			t.Errorf("ParseDirection(%q) = %v, %v", d.String(), got, ok)
		}
	}
	if _, ok := topic.ParseDirection("both"); ok {
		t.Error("ParseDirection took an unknown word")
	}
}

func TestOverlap(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/c", false}, {"a/+", "+/b", true}, {"a/#", "+/b/c", true}, {"a/#", "a", true},
		{"a", "a/#", true}, {"+", "a/b", false}, {"a/+/c", "a/b/+", true}, {"a/+/c", "a/b/d", false}, {"#", "x/y", true}, {"a/+", "a", false},
	}
	for _, tt := range tests {
		if topic.Overlap(tt.a, tt.b) != tt.want || topic.Overlap(tt.b, tt.a) != tt.want {
			t.Errorf("Overlap(%q, %q) is not %v", tt.a, tt.b, tt.want)
		}
	}
}

func TestValid(t *testing.T) {
	long := strings.Repeat("x", topic.MaxUTF8+1)
	for s, want := range map[string]error{"a": nil, "/": nil, long[1:]: nil, long: topic.ErrTooLong, "": topic.ErrEmpty,
		"a\x00": topic.ErrText, "\xff": topic.ErrText, "a+": topic.ErrWildcard, "#": topic.ErrWildcard} {
		if got := topic.ValidName(s); !errors.Is(got, want) {
			t.Errorf("ValidName of %d bytes = %v, want %v", len(s), got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for k := range topic.Kinds {
		f.Add(topic.System(device, k))
	}
	f.Add("/70ly1tvowt696r15/dev-01:a/a/b?parse=true")
	f.Add("/70ly1tvowt696r15/$broadcast/x")
	perms := topic.Compile(device, templates, topic.Scope{Gateway: true})
	f.Fuzz(func(t *testing.T, s string) {
		got, err := topic.Parse(s)
		if err == nil && got.String() != s {
			t.Errorf("Parse(%q) = %+v, whose name is %q", s, got, got.String())
		}
		if err == nil && topic.ValidName(s) != nil {
			t.Errorf("Parse accepted %q, which is no topic name", s)
		}
		// Whatever may be published is a topic of this device, and Parse sees the same topic.
		if allowed, ok := perms.Publish(s); ok && (err != nil || allowed != got || allowed.Device != device) {
			t.Errorf("Publish(%q) = %+v, Parse gives %+v, %v", s, allowed, got, err)
		}
	})
}

// FuzzFilter checks the matching against a slow and simple one, and that no filter that a device may subscribe to
// matches a topic of another device.
func FuzzFilter(f *testing.F) {
	f.Add("a/+/#", "a/b/c")
	f.Add("/$system/70ly1tvowt696r15/dev-01:a/#", "/$system/70ly1tvowt696r15/dev-02/shadow/get_reply")
	f.Add("#", "$SYS/a")
	perms := topic.Compile(device, templates, topic.Scope{Gateway: true})
	f.Fuzz(func(t *testing.T, filter, name string) {
		if topic.ValidFilter(filter) != nil || topic.ValidName(name) != nil {
			return
		}
		got, want := topic.Match(filter, name), slowMatch(strings.Split(filter, "/"), strings.Split(name, "/"))
		if name[0] == '$' && (filter[0] == '+' || filter[0] == '#') {
			want = false
		}
		if got != want {
			t.Errorf("Match(%q, %q) = %v, want %v", filter, name, got, want)
		}
		if got && filter[0] != '+' && filter[0] != '#' && !topic.Overlap(filter, name) {
			t.Errorf("%q matches %q, but they do not overlap", filter, name)
		}
		parsed, err := topic.Parse(name)
		if got && err == nil && perms.Subscribe(filter) && parsed.Device != device && parsed.Kind != topic.Broadcast {
			t.Errorf("a device may subscribe to %q, which matches %q", filter, name)
		}
	})
}

func slowMatch(filter, name []string) bool {
	if len(filter) == 1 && filter[0] == "#" {
		return true
	}
	if len(filter) == 0 || len(name) == 0 {
		return len(filter) == len(name)
	}
	if filter[0] != "+" && filter[0] != name[0] {
		return false
	}
	if len(name) == 1 && len(filter) == 2 && filter[1] == "#" {
		return true
	}
	return slowMatch(filter[1:], name[1:])
}

var (
	sink     topic.Topic
	sinkBool bool
)

func BenchmarkParse(b *testing.B) {
	for name, s := range map[string]string{
		"system": topic.System(device, topic.PropertyPost), "custom": topic.Name(device, "upload/event")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink, _ = topic.Parse(s)
			}
		})
	}
}

func BenchmarkPublish(b *testing.B) {
	perms := topic.Compile(device, templates, topic.Scope{})
	for name, s := range map[string]string{"system": topic.System(device, topic.PropertyPost), "custom": topic.Name(device, "upload/event"),
		"parse": topic.Name(device, "upload?parse=true"), "refused": "/70ly1tvowt696r15/dev-02/upload"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink, sinkBool = perms.Publish(s)
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	name := topic.System(device, topic.ShadowDocument)
	b.ReportAllocs()
	for b.Loop() {
		sinkBool = topic.Match("/$system/+/+/shadow/#", name)
	}
}

func TestNoAllocations(t *testing.T) {
	perms := topic.Compile(device, templates, topic.Scope{})
	names := []string{topic.System(device, topic.PropertyPost), topic.Name(device, "upload?parse=true"), "/bad", "/$system/x"}
	if got := testing.AllocsPerRun(100, func() {
		for _, n := range names {
			sink, _ = topic.Parse(n)
			sink, sinkBool = perms.Publish(n)
			sinkBool = topic.Match("/+/+/#", n)
		}
	}); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}
