package modbus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"time"

	"github.com/simonvetter/modbus"
)

var parities = map[string]uint{"none": modbus.PARITY_NONE, "even": modbus.PARITY_EVEN, "odd": modbus.PARITY_ODD}

// When a line is tried again that does not open, and after how many requests without an answer a device is taken for gone.
const (
	reopenMin  = 500 * time.Millisecond
	reopenMax  = 30 * time.Second
	goneAfter  = 3
	sparing    = 10 // of a device that is gone, a request is made in so many time-outs: the others on the line have the rest of it
	maxPending = 64 // writes that wait for the line; one more is refused
)

// bus is one line: one request at a time, by one goroutine.
type bus struct {
	cfg    Config
	log    *slog.Logger
	client *modbus.ModbusClient
	open   bool
	retry  time.Duration
	units  []*unit
	work   chan func()
}

func newBus(cfg Config, door Door, lg *slog.Logger) (*bus, error) {
	c, err := modbus.NewClient(&modbus.ClientConfiguration{
		URL: cfg.URL, Speed: cfg.Baud, DataBits: cfg.DataBits, Parity: parities[cfg.Parity], StopBits: cfg.StopBits, Timeout: time.Duration(cfg.Timeout),
		Logger: log.New(io.Discard, "", 0), // its errors are returned, too
	})
	if err != nil {
		return nil, fmt.Errorf("modbus: %s: %w", cfg.Name, err)
	}
	b := &bus{cfg: cfg, log: lg.With("line", cfg.Name), client: c, work: make(chan func(), maxPending)}
	for i := range cfg.Devices {
		b.units = append(b.units, newUnit(b, &b.cfg.Devices[i], door))
	}
	return b, nil
}

// run reads what is due and writes what is asked for until ctx ends.
func (b *bus) run(ctx context.Context) {
	defer b.close()
	for ctx.Err() == nil {
		if !b.open && !b.connect(ctx) {
			continue
		}
		wait := b.poll(ctx)
		timer := time.NewTimer(wait)
		select {
		case do := <-b.work:
			do()
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// connect opens the line; when that fails it waits longer each time, and refuses writes meanwhile.
func (b *bus) connect(ctx context.Context) bool {
	err := b.client.Open()
	if err == nil {
		b.open, b.retry = true, 0
		return true
	}
	b.retry = min(max(2*b.retry, reopenMin), reopenMax)
	b.log.Warn("the line does not open", "err", err, "again_in", b.retry)
	for _, u := range b.units {
		u.gone()
	}
	timer := time.NewTimer(b.retry)
	defer timer.Stop()
	for {
		select {
		case do := <-b.work:
			do()
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func (b *bus) close() {
	b.drop()
	for _, u := range b.units {
		u.gone()
	}
}

func (b *bus) drop() {
	if b.open {
		b.open = false
		_ = b.client.Close() // whatever it says, it is gone
	}
}

// poll reads the blocks that are due, and returns how long until the next one is.
func (b *bus) poll(ctx context.Context) time.Duration {
	next := time.Now().Add(time.Hour)
	for _, u := range b.units {
		for i := 0; i < len(u.blocks) && b.open && ctx.Err() == nil; i++ {
			bl := u.blocks[i]
			if now := time.Now(); !bl.due.After(now) {
				// A line that is too slow for all that is wanted gets no backlog.
				bl.due = now.Add(bl.every)
				u.read(i)
			}
			select { // writes do not wait for a long round
			case do := <-b.work:
				do()
			default:
			}
		}
		for _, bl := range u.blocks {
			if bl.due.Before(next) {
				next = bl.due
			}
		}
		u.flush()
	}
	return max(0, time.Until(next))
}

// judge is what an error says of the line: that the device has answered, or that it has not.
func (b *bus) judge(err error) (answered bool) {
	var e modbus.Error
	if errors.As(err, &e) {
		switch e {
		case modbus.ErrRequestTimedOut, modbus.ErrBadCRC, modbus.ErrShortFrame, modbus.ErrProtocolError, modbus.ErrBadUnitId,
			modbus.ErrBadTransactionId, modbus.ErrUnknownProtocolId, modbus.ErrGWTargetFailedToRespond, modbus.ErrGWPathUnavailable:
			if e != modbus.ErrRequestTimedOut && e != modbus.ErrGWTargetFailedToRespond && e != modbus.ErrGWPathUnavailable {
				b.drop() // what else is in the line belongs to no request
			}
			return false
		}
		return true
	}
	b.drop()
	return false
}

// read asks for a block; coils and discrete inputs come as registers of 0 and 1.
func (b *bus) read(unit uint8, bl *block) (regs []uint16, err error) {
	if err := b.client.SetUnitId(unit); err != nil {
		return nil, err
	}
	var bits []bool
	n := uint16(bl.count)
	switch bl.table {
	case "holding":
		regs, err = b.client.ReadRegisters(bl.addr, n, modbus.HOLDING_REGISTER)
	case "input":
		regs, err = b.client.ReadRegisters(bl.addr, n, modbus.INPUT_REGISTER)
	case "coil":
		bits, err = b.client.ReadCoils(bl.addr, n)
	case "discrete":
		bits, err = b.client.ReadDiscreteInputs(bl.addr, n)
	}
	if err != nil {
		return nil, err
	}
	for _, bit := range bits {
		var r uint16
		if bit {
			r = 1
		}
		regs = append(regs, r)
	}
	if len(regs) < bl.count {
		return nil, modbus.ErrShortFrame
	}
	return regs, nil
}

// write writes a run of points, with one request. A bit of a register is read with its neighbours and written with them, which another master may come between.
func (b *bus) write(unit uint8, run []*Point, regs []uint16) error {
	p := run[0]
	if !b.open {
		return errClosed
	}
	if err := b.client.SetUnitId(unit); err != nil {
		return err
	}
	switch {
	case p.Table == "coil" && len(regs) > 1:
		bits := make([]bool, len(regs))
		for i, r := range regs {
			bits[i] = r != 0
		}
		return b.client.WriteCoils(p.Address, bits)
	case p.Table == "coil":
		return b.client.WriteCoil(p.Address, regs[0] != 0)
	case p.Type == "bool":
		old, err := b.client.ReadRegister(p.Address, modbus.HOLDING_REGISTER)
		if err != nil {
			return err
		}
		return b.client.WriteRegister(p.Address, old&^(1<<p.Bit)|regs[0])
	case len(regs) == 1:
		return b.client.WriteRegister(p.Address, regs[0])
	}
	return b.client.WriteRegisters(p.Address, regs)
}

var errClosed = errors.New("modbus: the line is not open")
