package conversation

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// Player plays one conversation with a hub.
type Player struct {
	env     harness.Env
	hub     *harness.Hub
	cbor    bool   // devices log in with enc=cbor and speak it
	way     string // how requests to the Action API go
	names   names
	devices map[string]*device
	answer  *answer            // of the last call or request
	calls   map[string]*answer // of calls that go on
	request *request           // an "http" whose lines are still coming
}

// device is a speaker.
type device struct {
	product string // name of its product in the conversation
	*client
}

// Cbor reports whether the conversation in file says that it holds in CBOR too.
func Cbor(file string) (bool, error) {
	lines, err := read(file)
	if err != nil {
		return false, err
	}
	for _, l := range lines {
		if l.text == "also cbor" {
			return true, nil
		}
	}
	return false, nil
}

// Play plays file with the hub, and ends e with the first line that does not hold.
func Play(e harness.Env, hub *harness.Hub, file string, cbor bool) {
	e.Helper()
	(&Player{env: e, hub: hub, cbor: cbor, way: wayGet}).run(file)
}

// PlayAs is Play with requests to the Action API going in one of Ways.
func PlayAs(e harness.Env, hub *harness.Hub, file, way string) {
	e.Helper()
	(&Player{env: e, hub: hub, way: way}).run(file)
}

func (p *Player) run(file string) {
	e := p.env
	e.Helper()
	lines, err := read(file)
	if err != nil {
		e.Fatalf("%v", err)
	}
	p.names, p.devices, p.calls = names{"key": p.hub.Key, "hub": p.hub.HTTP}, map[string]*device{}, map[string]*answer{}
	defer p.close()
	for _, l := range lines {
		if err := p.play(l.text); err != nil {
			e.Fatalf("%s:%d: %s\n%v", file, l.number, l.text, err)
		}
	}
	if err := p.flush(); err != nil {
		e.Fatalf("%s: at its end: %v", file, err)
	}
}

type line struct {
	number int
	text   string
}

// read joins lines that go on, and leaves out comments and empty ones.
func read(file string) ([]line, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var lines []line
	inRequest := false
	for i, s := range strings.Split(string(raw), "\n") {
		switch {
		case strings.TrimSpace(s) == "" || s[0] == '#':
		case s[0] != ' ':
			inRequest = strings.HasPrefix(s, "http ")
			lines = append(lines, line{i + 1, s})
		case inRequest:
			lines = append(lines, line{i + 1, s})
		case len(lines) == 0:
			return nil, fmt.Errorf("%s:%d: goes on with nothing", file, i+1)
		default:
			lines[len(lines)-1].text += strings.TrimSpace(s)
		}
	}
	return lines, nil
}

func (p *Player) close() {
	for _, d := range p.devices {
		if d.client != nil {
			d.leave()
		}
	}
}

func (p *Player) play(text string) error {
	if text[0] == ' ' {
		return p.request.add(strings.TrimPrefix(strings.TrimPrefix(text, " "), " "))
	}
	if err := p.flush(); err != nil {
		return err
	}
	word, rest, _ := strings.Cut(text, " ")
	switch word {
	case "also":
		return nil
	case "product", "model", "device", "unknown", "let", "pair":
		return p.make(word, rest)
	case "action":
		p.answer = p.action(rest)
		return nil
	case "GET", "POST", "PUT", "PATCH", "DELETE":
		p.answer = p.call(text)
		return nil
	case "call":
		name, call, _ := strings.Cut(rest, " ")
		if action, ok := strings.CutPrefix(call, "action "); ok {
			p.calls[name] = p.action(action)
			return nil
		}
		p.calls[name] = p.call(call)
		return nil
	case "answer":
		name, want, _ := strings.Cut(rest, " ")
		if p.calls[name] == nil {
			return fmt.Errorf("no call %s", name)
		}
		return p.answered(p.calls[name], want)
	case "=":
		if p.answer == nil {
			return errors.New("nothing was asked")
		}
		return p.answered(p.answer, rest)
	case "http":
		method, path, _ := strings.Cut(rest, " ")
		p.request = &request{method: method, path: path}
		return nil
	}
	d := p.devices[word]
	if d == nil {
		return fmt.Errorf("no device %q and no such word", word)
	}
	return p.speak(word, d, rest)
}

// make plays the lines that set the scene.
func (p *Player) make(word, rest string) error {
	name, rest, _ := strings.Cut(rest, " ")
	switch word {
	case "let":
		filled, err := p.names.fill(rest)
		p.names[name] = filled
		return err
	case "pair":
		return p.pair(name, rest)
	case "product":
		return p.product(name, rest)
	case "model":
		return p.wanted(p.call("PUT /v1/products/<"+name+">/thing-model "+rest), 200, nil)
	}
	product, fields, _ := strings.Cut(strings.TrimPrefix(rest, "of "), " ")
	if p.names[product] == "" {
		return fmt.Errorf("no product %s", product)
	}
	p.devices[name] = &device{product: product}
	p.names[name+".product"] = p.names[product]
	if word == "unknown" {
		p.names[name] = "unknown-" + p.names[product][:8] + "-" + name
		return nil
	}
	if fields == "" {
		fields = "{}"
	}
	var made harness.Credentials
	if err := p.wanted(p.call("POST /v1/products/<"+product+">/devices "+fields), 201, &made); err != nil {
		return err
	}
	p.names[name], p.names[name+".secret"] = made.DeviceSN, made.DeviceSecret
	return nil
}

func (p *Player) product(name, fields string) error {
	var made struct{ ProductSN, ProductSecret string }
	if err := p.wanted(p.call("POST /v1/products "+fields), 201, &made); err != nil {
		return err
	}
	p.names[name], p.names[name+".secret"] = made.ProductSN, made.ProductSecret
	return nil
}

// speak plays a line that a device says or hears.
func (p *Player) speak(name string, d *device, rest string) error {
	word, rest, _ := strings.Cut(rest, " ")
	if word != "connects" && word != "is" && d.client == nil {
		return fmt.Errorf("%s is not connected", name)
	}
	switch word {
	case "connects":
		c, code, err := p.login(name, d, strings.Fields(rest))
		if err == nil && code != 0 {
			err = fmt.Errorf("refused with code %d", code)
		}
		d.client = c
		return err
	case "is":
		return p.ended(name, d, rest)
	case "may":
		return p.granted(name, d, strings.TrimPrefix(rest, "not subscribe "), 0x80)
	case "subscribes":
		return p.granted(name, d, rest, 0)
	case "->", "->0":
		return p.says(name, d, rest, byte(3-len(word)))
	case "<-":
		return p.hears(name, d, rest)
	case "hears":
		return d.nothing()
	case "leaves":
		c := d.client
		d.client = nil
		return p.left(name, d, c)
	case "drops":
		d.drop()
	default:
		return fmt.Errorf("a device cannot %q", word)
	}
	d.client = nil
	return nil
}

// left returns when the hub has noted that the device has gone: what an application asks for next is asked of a device that is away.
func (p *Player) left(name string, d *device, c *client) error {
	defer c.drop()
	if err := c.write(disconnect, nil); err != nil {
		return err
	}
	if err := c.closed(); err != nil {
		return err
	}
	harness.Eventually(p.env, patience, name+" is not online any more", func() bool {
		a := p.call("GET /v1/products/<" + d.product + ">/devices/<" + name + ">")
		<-a.done
		return a.err == nil && !strings.Contains(a.body, `"state":"online"`)
	})
	return nil
}

func (p *Player) ended(name string, d *device, rest string) error {
	if rest == "cut off" {
		if d.client == nil {
			return fmt.Errorf("%s is not connected", name)
		}
		c := d.client
		d.client = nil
		return c.closed()
	}
	opts := strings.Fields(rest)
	if len(opts) < 2 || opts[0] != "refused" {
		return fmt.Errorf("a device is not %q", rest)
	}
	c, code, err := p.login(name, d, opts[2:])
	if c != nil {
		c.drop()
	}
	if opts[1] == "closed" && err != nil {
		return nil
	}
	if got := fmt.Sprint(code); err != nil || got != opts[1] {
		return fmt.Errorf("CONNACK code %s, %w", got, err)
	}
	return nil
}

func (p *Player) login(name string, d *device, opts []string) (*client, byte, error) {
	product, sn := p.names[d.product], p.names[name]
	l := login{clientID: product + "." + sn, password: p.names[name+".secret"], keepAlive: 60}
	mode, more := "1", []string{}
	if p.cbor {
		more = append(more, "enc=cbor")
	}
	for _, o := range opts {
		o, err := p.names.fill(o)
		if err != nil {
			return nil, 0, err
		}
		k, v, _ := strings.Cut(o, "=")
		switch k {
		case "mode":
			mode, l.password = v, p.names[d.product+".secret"]
		case "as":
			l.password = v
		case "persistent":
			l.persistent = true
		case "keepalive":
			if _, err := fmt.Sscan(v, &l.keepAlive); err != nil {
				return nil, 0, err
			}
		default:
			more = append(more, o)
		}
	}
	l.user = product + "|" + sn + "|" + mode
	if len(more) > 0 {
		l.user += "|" + strings.Join(more, ",")
	}
	return dial(p.hub.MQTT, l)
}

// topic is the whole topic of a short form.
func (p *Player) topic(name string, d *device, short string) (string, error) {
	own := "/<" + d.product + ">/<" + name + ">/"
	switch {
	case strings.HasPrefix(short, "/"), short == "#", strings.HasPrefix(short, "+"):
	case strings.HasPrefix(short, "~/"):
		short = own + short[2:]
	default:
		short = "/$system" + own + short
	}
	return p.names.fill(short)
}

func (p *Player) granted(name string, d *device, rest string, want byte) error {
	short, qos, _ := strings.Cut(rest, " ")
	filter, err := p.topic(name, d, short)
	if err != nil {
		return err
	}
	q := byte(1)
	if qos != "" {
		q = qos[0] - '0'
	}
	if want == 0 {
		want = q
	}
	got, err := d.subscribe(filter, q)
	if err == nil && got != want {
		err = fmt.Errorf("SUBACK %#x", got)
	}
	return err
}

func (p *Player) says(name string, d *device, rest string, qos byte) error {
	short, text, _ := strings.Cut(rest, " ")
	topic, err := p.topic(name, d, short)
	if err != nil {
		return err
	}
	payload, err := p.names.fill(text)
	if err != nil {
		return err
	}
	b := []byte(payload)
	if p.cbor && json.Valid(b) {
		if b, err = codec.ToCBOR(b, codec.DefaultLimits()); err != nil {
			return err
		}
	}
	return d.publish(topic, qos, b)
}

func (p *Player) hears(name string, d *device, rest string) error {
	short, pattern, _ := strings.Cut(rest, " ")
	got, err := d.next()
	if err != nil {
		return err
	}
	topic, err := p.topic(name, d, short)
	if err != nil {
		return err
	}
	if got.topic != topic {
		return fmt.Errorf("a message on %s: %s", got.topic, got.payload)
	}
	if p.cbor {
		if got.payload, err = codec.ToJSON(got.payload, codec.DefaultLimits()); err != nil {
			return fmt.Errorf("no CBOR: %w", err)
		}
	}
	return p.names.match(pattern, string(got.payload))
}

// nothing holds when no message came before the answer to a PINGREQ.
func (d *device) nothing() error {
	if err := d.ping(); err != nil {
		return err
	}
	select {
	case m := <-d.got:
		return fmt.Errorf("heard %s on %s", m.payload, m.topic)
	default:
		return nil
	}
}
