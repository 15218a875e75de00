package modbus

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/simonvetter/modbus"

	"github.com/hawser-iot/hawser/testbed/harness/port"
)

// server is one that the test can look into; hole is a register that it does not have.
type server struct {
	t    *testing.T
	addr string
	srv  *modbus.ModbusServer
	hole int

	mu     sync.Mutex
	regs   [100]uint16
	reads  int
	writes []string // where and how many registers
	coils  [100]bool
	mute   map[uint8]bool // units that are behind a converter and do not answer
	asked  map[uint8]int  // requests for units
	stuck  bool           // writes are not answered
	failed int            // of them
}

func serve(t *testing.T) *server {
	t.Helper()
	addr, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, addr: addr, hole: -1, mute: make(map[uint8]bool), asked: make(map[uint8]int)}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *server) start() {
	s.t.Helper()
	srv, err := modbus.NewServer(&modbus.ServerConfiguration{URL: "tcp://" + s.addr, Timeout: time.Minute, MaxClients: 2}, s)
	if err == nil {
		err = srv.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.srv = srv
}

func (s *server) stop() {
	if s.srv != nil {
		_ = s.srv.Stop()
		s.srv = nil
	}
}

func (s *server) config(points string) string {
	return fmt.Sprintf("{url: 'tcp://%s', timeout: 10s, devices: [{product: %s, device: %s, unit: 1, every: 20ms, points: [%s]}]}", s.addr, plc.Product, plc.SN, points)
}

func (s *server) get(i int) uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.regs[i]
}

func (s *server) set(i int, v uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.regs[i] = v
}

func (s *server) HandleHoldingRegisters(r *modbus.HoldingRegistersRequest) ([]uint16, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[r.UnitId]++
	if s.mute[r.UnitId] {
		return nil, modbus.ErrGWTargetFailedToRespond
	}
	from, to := int(r.Addr), int(r.Addr)+int(r.Quantity)
	if to > len(s.regs) || from <= s.hole && s.hole < to {
		return nil, modbus.ErrIllegalDataAddress
	}
	s.reads++
	if r.IsWrite && s.stuck {
		s.failed++
		return nil, modbus.ErrGWTargetFailedToRespond
	}
	if r.IsWrite {
		copy(s.regs[from:to], r.Args)
		s.writes = append(s.writes, fmt.Sprintf("%d+%d", from, to-from))
	}
	return append([]uint16(nil), s.regs[from:to]...), nil
}

func (s *server) HandleInputRegisters(*modbus.InputRegistersRequest) ([]uint16, error) {
	return nil, modbus.ErrIllegalFunction
}
func (s *server) HandleCoils(r *modbus.CoilsRequest) ([]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, to := int(r.Addr), int(r.Addr)+int(r.Quantity)
	if to > len(s.coils) {
		return nil, modbus.ErrIllegalDataAddress
	}
	if r.IsWrite {
		copy(s.coils[from:to], r.Args)
		s.writes = append(s.writes, fmt.Sprintf("coils %d+%d", from, to-from))
	}
	return append([]bool(nil), s.coils[from:to]...), nil
}
func (s *server) HandleDiscreteInputs(*modbus.DiscreteInputsRequest) ([]bool, error) {
	return nil, modbus.ErrIllegalFunction
}
