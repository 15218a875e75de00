package broker_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/broker"
	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
)

const childDir = "HAWSER_BROKER_CHILD_DIR"

// TestChild is the process that TestQoS2OverKills kills: a node over TCP, which sends the device what its standard input says.
func TestChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("only as a child")
	}
	t.Chdir(dir)
	s := brokertest.New(t, brokertest.Config{Store: openIn(t, dir),
		Downlink: func(c *downlink.Config) { c.QueueMax = 10_000 }, Broker: func(c *broker.Config) { c.Engine.OutQueue = 10_000 }})
	d := theDevice(t, s)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Broker.Serve(context.Background(), ln, "tcp") }()
	fmt.Printf("listening %s %s %s %s\n", ln.Addr(), d.Identity.Product, d.Identity.SN, d.Secret.Reveal())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		m := downlink.Message{Device: d.Identity, Topic: topic.Name(d.Identity, "set"), Payload: in.Bytes(), QoS: 2, Queue: true}
		if _, err := s.Downlink.Send(context.Background(), m); err != nil {
			fmt.Printf("refused %s: %v\n", in.Text(), err)
			continue
		}
		fmt.Printf("sent %s\n", in.Text())
	}
}

// openIn opens a store with the keyring that is in its folder.
func openIn(t *testing.T, dir string) *store.DB {
	t.Helper()
	ring, err := keyring.Load(filepath.Join(dir, "keyring"), "")
	if err == nil && ring.Fresh() {
		err = ring.Keep()
	}
	if err != nil {
		t.Fatal(err)
	}
	before := storetest.Keyring
	t.Cleanup(func() { storetest.Keyring = before })
	storetest.Keyring = ring
	return storetest.Open(t, store.Config{Dir: dir})
}

// theDevice finds or makes the one device of the store.
func theDevice(t *testing.T, s *brokertest.Stack) *registry.Device {
	t.Helper()
	var id int64
	if err := s.Store.QueryRow(t.Context(), `SELECT id FROM device`).Scan(&id); err != nil {
		d := s.New(t)
		if _, err := s.Registry.SetTopics(t.Context(), d.Identity.Product, append(topic.DefaultTemplates(), topic.Template{Path: "kept/#", Perm: topic.Sub})); err != nil {
			t.Fatal(err)
		}
		for life := range kills + 1 {
			fillKept(t, s, d, fmt.Sprintf("kept/%d", life+1), keptEach, 2)
		}
		return d
	}
	d, err := s.Registry.DeviceByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// node runs the child and starts it again when it was killed.
type node struct {
	t   *testing.T
	dir string

	mu    sync.Mutex // guards the fields below
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	addr  string
	lives int
	login []string // product, device, secret
}

func (n *node) start() {
	n.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childDir+"="+n.dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	f := strings.Fields(<-lines)
	if len(f) != 5 || f[0] != "listening" {
		n.t.Fatalf("child said %q", f)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cmd, n.in, n.lines, n.addr, n.login = cmd, in, lines, f[1], f[2:]
	n.lives++
}

func (n *node) kill() {
	n.mu.Lock()
	cmd := n.cmd
	n.mu.Unlock()
	_ = cmd.Process.Kill() // SIGKILL
	_ = cmd.Wait()
}

// send has the child send payload; it reports whether that is safe. What a kill leaves open is not sent again.
func (n *node) send(payload string) bool {
	n.mu.Lock()
	in, lines := n.in, n.lines
	n.mu.Unlock()
	if _, err := fmt.Fprintln(in, payload); err != nil {
		return false
	}
	return <-lines == "sent "+payload // else it was killed, or the device has not subscribed yet
}

// faithful is a device that keeps its side of QoS 2 over any number of connections.
type faithful struct {
	t    *testing.T
	node *node

	conn     net.Conn
	r        *bufio.Reader
	held     map[uint16]bool // messages whose PUBREL has not come
	arrived  map[string]int
	publish  []byte // what is not acknowledged yet
	id       uint16
	wait     packet.Type // for it
	progress int
	total    int

	life  int // the node's, when it connected
	away  int // the life of the node that it waits to see the end of
	heard int // packets in this life
	kept  int // the last life in which it has subscribed to what is retained for it
}

// loses tells whether the connection breaks at a packet of this type, so that the node is killed before the exchange has gone on. Each
// life of a node has one such place in turn, but for the last.
func (f *faithful) loses(typ packet.Type) bool {
	if f.life > kills || f.heard < 10 || typ != [...]packet.Type{packet.PUBREC, packet.PUBLISH, packet.PUBREL}[f.life%3] {
		return false
	}
	f.away = f.life
	return true
}

// run publishes its numbers and takes what comes until all is done and stop says so. Each life of the node may take a minute.
func (f *faithful) run(stop func() bool) {
	deadline := time.Now().Add((kills + 1) * time.Minute)
	for time.Now().Before(deadline) && (f.progress < f.total || !stop()) {
		if f.conn == nil && !f.connect() {
			time.Sleep(10 * time.Millisecond) // the node is starting
			continue
		}
		if !f.step() {
			_ = f.conn.Close()
			f.conn = nil
		}
	}
}

func (f *faithful) connect() bool {
	f.node.mu.Lock()
	addr, login, life := f.node.addr, f.node.login, f.node.lives
	f.node.mu.Unlock()
	if life == f.away {
		return false
	}
	if life != f.life {
		f.life, f.heard = life, 0
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	f.conn, f.r = conn, bufio.NewReader(conn)
	out := packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, KeepAlive: 60, ClientID: []byte(login[0] + "." + login[1]),
		HasUserName: true, UserName: []byte(login[0] + "|" + login[1] + "|1"), HasPassword: true, Password: []byte(login[2])})
	out = packet.AppendSubscribe(out, 60_000, []packet.Filter{{Filter: "/" + login[0] + "/" + login[1] + "/set", QoS: 2}})
	if f.publish != nil && f.wait == packet.PUBREC {
		f.publish[0] |= 8 // DUP
	}
	_, err = conn.Write(append(out, f.publish...))
	return err == nil
}

// next begins the next message.
func (f *faithful) next() []byte {
	f.id, f.wait = uint16(f.progress%100+1), packet.PUBREC // ids come again soon
	name := "/" + f.node.login[0] + "/" + f.node.login[1] + "/upload"
	f.publish = packet.AppendPublish(nil, name, fmt.Appendf(nil, `{"n":%d}`, f.progress), 2, f.id, false, false)
	return f.publish
}

// step sends what is due, and handles one packet.
func (f *faithful) step() bool {
	if f.publish == nil && f.progress < f.total {
		if _, err := f.conn.Write(f.next()); err != nil {
			return false
		}
	}
	_ = f.conn.SetReadDeadline(time.Now().Add(time.Second))
	first, err := f.r.ReadByte()
	if err != nil {
		return f.progress == f.total && os.IsTimeout(err)
	}
	size, err := f.r.ReadByte() // all packets here are short
	if err != nil {
		return false
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(f.r, body); err != nil {
		return false
	}
	return f.handle(packet.Type(first>>4), first&15, body)
}

func (f *faithful) handle(typ packet.Type, flags byte, body []byte) bool {
	var out []byte
	id, _ := packet.DecodeID(body)
	f.heard++
	lost := f.loses(typ)
	switch {
	case lost && typ == packet.PUBREC: // as if it had not come
		return false
	case typ == packet.PUBREC && id == f.id && f.wait == packet.PUBREC:
		f.wait = packet.PUBCOMP
		f.publish = packet.AppendID(nil, packet.PUBREL, id)
		out = f.publish
	case typ == packet.PUBCOMP && id == f.id && f.wait == packet.PUBCOMP:
		f.progress++
		f.publish = nil
	case typ == packet.PUBREL:
		delete(f.held, id)
		if lost { // with the message done, and nobody told
			return false
		}
		out = packet.AppendID(nil, packet.PUBCOMP, id)
	case typ == packet.SUBACK && f.kept < f.life: // with its session there: what it subscribes to comes once
		f.kept = f.life
		name := fmt.Sprintf("/%s/%s/kept/%d/#", f.node.login[0], f.node.login[1], f.life)
		out = packet.AppendSubscribe(nil, 60_001, []packet.Filter{{Filter: name, QoS: 2}})
	case typ == packet.PUBLISH:
		var p packet.Publish
		if err := packet.DecodePublish(flags, body, &p); err != nil || p.QoS != 2 {
			return err == nil // the status that a device is greeted with
		}
		if !f.held[p.ID] {
			f.arrived[string(p.Payload)]++
		}
		f.held[p.ID] = true
		out = packet.AppendID(nil, packet.PUBREC, p.ID)
	}
	_, err := f.conn.Write(out)
	return err == nil && !lost
}

// keptEach is how many retained messages there are for each life of the node.
const (
	kills    = 9
	keptEach = 100
)

// TestQoS2OverKills: the node is killed again and again while QoS 2 messages go both ways, and retained ones to new subscriptions. Each arrives
// exactly once, but for what is retained and was not read yet when the node was killed.
func TestQoS2OverKills(t *testing.T) {
	const messages = 300
	n := &node{t: t, dir: t.TempDir()}
	n.start()
	f := &faithful{t: t, node: n, held: map[uint16]bool{}, arrived: map[string]int{}, total: messages}
	var mu sync.Mutex
	sent := map[string]bool{}
	stopped, killed := make(chan struct{}), make(chan struct{})
	go func() { // sends all the time
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-killed:
				return
			case <-time.After(10 * time.Millisecond):
			}
			payload := strconv.Itoa(i)
			if n.send(payload) {
				mu.Lock()
				sent[payload] = true
				mu.Unlock()
			}
		}
	}()
	go func() {
		defer close(killed)
		for range kills {
			time.Sleep(time.Duration(200+rand.IntN(300)) * time.Millisecond) // the life of a node, not a wait
			n.kill()
			n.start()
		}
	}()
	f.run(func() bool {
		select {
		case <-stopped:
		default:
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		for payload := range sent {
			if f.arrived[payload] == 0 {
				return false
			}
		}
		return true
	})
	n.kill()
	for payload := range sent {
		if f.arrived[payload] != 1 {
			t.Errorf("message %s to the device arrived %d times", payload, f.arrived[payload])
		}
	}
	kept := 0
	for payload, times := range f.arrived {
		if times != 1 {
			t.Errorf("message %s to the device arrived %d times", payload, times)
		}
		if strings.HasPrefix(payload, "kept") {
			kept++
		}
	}
	if kept < 2*keptEach {
		t.Errorf("%d retained messages came", kept)
	}
	verifyOnce(t, n.dir, messages)
	t.Logf("%d messages up, %d down of which %d retained, %d kills", f.progress, len(f.arrived), kept, kills)
}

// verifyOnce counts the device's messages in the outbox.
func verifyOnce(t *testing.T, dir string, messages int) {
	t.Helper()
	db := openIn(t, dir)
	times := map[string]int{}
	for shard := range 16 {
		rows, err := db.Outbox().Read(t.Context(), shard, 0, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			for _, rec := range r.Records {
				times[string(rec)]++
			}
		}
	}
	for i := range messages {
		if got := times[fmt.Sprintf(`{"n":%d}`, i)]; got != 1 {
			t.Errorf("message %d of the device was handled %d times", i, got)
		}
	}
}
