package artifact

import (
	"context"

	"github.com/hawser-iot/hawser/firmware/signing"
)

// ConfigKey is what configurations of agents are signed with: the oldest director key that is not retired. While there are two, agents that were
// given either the older or both take them; those with the newer alone do when the older is retired.
func (r *Repository) ConfigKey(ctx context.Context) (signing.PrivateKey, error) {
	if _, err := r.Director(ctx); err != nil { // there is a first one
		return signing.PrivateKey{}, err
	}
	list, err := r.directors(ctx)
	if err != nil {
		return signing.PrivateKey{}, err
	}
	return list[len(list)-1].PrivateKey, nil
}
