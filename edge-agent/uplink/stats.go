package uplink

import "github.com/hawser-iot/hawser/device-sdk/link"

// LinkStats are the counters of the gateway's connection.
func (u *Uplink) LinkStats() link.Stats { return u.link.Stats() }

// LinkFailure says why the last connection did not come about or ended.
func (u *Uplink) LinkFailure() link.Failure { return u.link.Failure() }
