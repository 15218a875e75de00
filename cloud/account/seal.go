package account

import "github.com/hawser-iot/hawser/cloud/store"

// seal and unseal are for the secrets of second factors, the only ones here that must be had again.
func (a *Accounts) seal(user, secret string) []byte {
	return a.db.Seal(store.TOTPSecret, user, []byte(secret))
}

func (a *Accounts) unseal(user string, sealed []byte) (string, error) {
	plain, err := a.db.Unseal(store.TOTPSecret, user, sealed)
	return string(plain), err
}
