package server

import (
	"sync"
	"sync/atomic"
)

// chunk is a pooled read buffer. The connection and every publish that points into it hold a reference.
type chunk struct {
	refs  atomic.Int32
	class int8 // index of its pool, or unpooled
	buf   []byte
}

const unpooled = -1

// chunkSizes are the pooled sizes. The first is what one read of a usual device needs.
var chunkSizes = [...]int{2 << 10, 8 << 10, 32 << 10, 128 << 10, 512 << 10}

// pools are the buffers that connections share.
type pools struct {
	chunks [len(chunkSizes)]sync.Pool
	outs   sync.Pool
	tokens sync.Pool
}

// chunk returns a buffer of at least size bytes with one reference.
func (p *pools) chunk(size int) *chunk {
	for i, n := range chunkSizes {
		if size > n {
			continue
		}
		c, ok := p.chunks[i].Get().(*chunk)
		if !ok {
			c = &chunk{class: int8(i), buf: make([]byte, n)}
		}
		c.refs.Store(1)
		return c
	}
	c := &chunk{class: unpooled, buf: make([]byte, size)}
	c.refs.Store(1)
	return c
}

// release gives up a reference.
func (p *pools) release(c *chunk) {
	if c.refs.Add(-1) == 0 && c.class != unpooled {
		p.chunks[c.class].Put(c)
	}
}

// outbuf is a pooled write buffer.
type outbuf struct{ b []byte }

// maxPooledOut keeps a rare large packet from living on in the pool.
const maxPooledOut = 64 << 10

func (p *pools) out() *outbuf {
	if o, ok := p.outs.Get().(*outbuf); ok {
		return o
	}
	return &outbuf{b: make([]byte, 0, 512)}
}

func (p *pools) putOut(o *outbuf) {
	if cap(o.b) <= maxPooledOut {
		o.b = o.b[:0]
		p.outs.Put(o)
	}
}

// token returns a zero Publish.
func (p *pools) token() *Publish {
	if t, ok := p.tokens.Get().(*Publish); ok {
		return t
	}
	return new(Publish)
}
