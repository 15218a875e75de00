package agentlink

import (
	"fmt"
	"sync"

	"github.com/hawser-iot/hawser/firmware/frame"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
)

// decoders are a few hundred KiB each.
var decoders = sync.Pool{New: func() any {
	d, err := frame.NewDecoder()
	if err != nil {
		panic(err) // the options are constant
	}
	return d
}}

// unpack reads the records of a batch. What a frame says of its length was bounded before anything is unpacked.
func unpack(b *agentmsg.Batch) (records []agentmsg.Record, release func(), err error) {
	data := b.Data
	if b.Size > 0 {
		data = make([]byte, b.Size)
		d := decoders.Get().(*frame.Decoder)
		err := d.Decode(data, b.Data)
		decoders.Put(d)
		if err != nil {
			return nil, nil, fmt.Errorf("agentlink: %w", err)
		}
	}
	return agentmsg.Records(data, b.First, b.Count)
}
