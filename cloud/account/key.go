package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/credential"
)

const (
	keyPrefix   = "hwk_"
	keyIDLen    = 8 // characters, 40 random bits
	secretLen   = 32
	maxName     = 128
	maxProducts = 1000
	usedStep    = time.Minute // last_used_at is written at most this often
)

// Key is an API key without its secret.
type Key struct {
	ID      string
	Name    string
	Project string // HubProject: the hub as a whole
	// Role is what the key may do; "" when Permissions were chosen one by one.
	Role        Role
	Permissions Permission
	Products    []string // only these products; nil is all of the project
	// ProductRoles are roles on single products, instead of one for all of them.
	ProductRoles map[string]Role
	// Pair is a key that signs requests and is not shown itself, see AuthenticatePair.
	Pair      bool
	CreatedBy string // id of the user or key
	Created   time.Time
	LastUsed  time.Time // within a minute; zero: never
	Expires   time.Time // zero: never
}

// grant is what the key has.
func (k *Key) grant() Grant {
	g := Grant{Project: k.Project, Permissions: k.Permissions}
	if len(k.Products)+len(k.ProductRoles) == 0 {
		return g
	}
	g.Products = make(map[string]Permission, len(k.Products)+len(k.ProductRoles))
	for _, sn := range k.Products {
		g.Products[sn] = k.Permissions
	}
	for sn, role := range k.ProductRoles {
		g.Products[sn] = role.Permissions()
	}
	return g
}

// keyRecord is a key as it is verified.
type keyRecord struct {
	key      Key
	hash     [sha256.Size]byte
	private  credential.Secret // of a pair
	identity *Identity
	read     time.Time
}

// NewKey is what CreateKey needs.
type NewKey struct {
	Name        string
	Project     string // "" is that of the caller's request, and HubProject for the hub's own keys
	Role        Role   // or Permissions
	Permissions Permission
	Products    []string
	// ProductRoles are instead of all these.
	ProductRoles map[string]Role
	Expires      time.Time // zero: never
	Pair         bool
}

// CreateKey makes a key and returns its text, which cannot be had again; of a pair that is the private key. It never has more than by, nor lives longer.
func (a *Accounts) CreateKey(ctx context.Context, by *Caller, p *Principal, n NewKey) (text string, key *Key, err error) {
	switch {
	case n.Project != "":
	case p.Everywhere:
		n.Project = HubProject
	default:
		n.Project = p.Project
	}
	if err := n.validate(a.now()); err != nil {
		return "", nil, err
	}
	text, rec := a.drawKey(n)
	rec.key.CreatedBy = p.ID
	switch {
	case !p.covers(rec.key.grant()):
		return "", nil, ErrExceeds
	case by.Kind == KindKey && !by.Identity.Expires.IsZero() && (n.Expires.IsZero() || n.Expires.After(by.Identity.Expires)):
		return "", nil, fmt.Errorf("%w: a key that ends at %s cannot make one that lasts longer", ErrExceeds, by.Identity.Expires.Format(time.RFC3339))
	}
	err = a.update(ctx, "create key", func(tx *store.Tx) error {
		if err := a.checkKeyProducts(ctx, tx, &rec.key); err != nil {
			return err
		}
		if err := a.Reserve(ctx, tx, n.Project, QuotaKeys, 1); err != nil {
			return err
		}
		return a.insertKey(ctx, tx, rec)
	})
	if err != nil {
		return "", nil, err
	}
	return text, &rec.key, nil
}

func (n *NewKey) validate(now time.Time) error {
	switch {
	case n.Name == "" || len(n.Name) > maxName:
		return &ErrInvalid{"name", fmt.Sprintf("must have 1 to %d bytes", maxName)}
	case len(n.ProductRoles) > 0:
		return n.validateProductRoles(now)
	case n.Role == "" && n.Permissions == 0:
		return &ErrInvalid{"role", "give a role or permissions"}
	case n.Role != "" && n.Permissions != 0:
		return &ErrInvalid{"permissions", "give a role or permissions, not both"}
	case n.Role != "" && !n.Role.Valid():
		return errRole("role")
	case len(n.Products) > 0 && n.Project == HubProject:
		return &ErrInvalid{"products", "a key for the hub as a whole cannot be limited to products: give it a project"}
	case len(n.Products) > maxProducts:
		return &ErrInvalid{"products", fmt.Sprintf("at most %d", maxProducts)}
	}
	return n.validateEnd(now)
}

func (n *NewKey) validateEnd(now time.Time) error {
	if !n.Expires.IsZero() && !n.Expires.After(now) {
		return &ErrInvalid{"expiresAt", "is in the past"}
	}
	return nil
}

func (n *NewKey) validateProductRoles(now time.Time) error {
	switch {
	case n.Role != "" || n.Permissions != 0 || len(n.Products) > 0:
		return &ErrInvalid{"productRoles", "give them, or a role, permissions and products, not both"}
	case n.Project == HubProject:
		return &ErrInvalid{"productRoles", "a key for the hub as a whole cannot be limited to products: give it a project"}
	case len(n.ProductRoles) > maxProducts:
		return &ErrInvalid{"productRoles", fmt.Sprintf("at most %d", maxProducts)}
	}
	for _, role := range n.ProductRoles {
		if !role.Valid() {
			return errRole("productRoles")
		}
	}
	return n.validateEnd(now)
}

func errRole(field string) error {
	return &ErrInvalid{field, `is none of "owner", "admin", "operator", "engineer", "viewer"`}
}

// checkKeyProducts holds that the project exists and the products are its own: those of others are not told from none.
func (a *Accounts) checkKeyProducts(ctx context.Context, tx *store.Tx, k *Key) error {
	if k.Project == HubProject {
		return nil
	}
	if err := projectExists(ctx, tx, k.Project); err != nil {
		return err
	}
	for sn := range k.grant().Products {
		if err := a.productIn(ctx, tx, k.Project, sn); err != nil {
			return err
		}
	}
	return nil
}

// drawKey draws a key: hwk_<id>_<43 characters of base64url>, or the private key of a pair, the 43 characters alone.
func (a *Accounts) drawKey(n NewKey) (text string, rec *keyRecord) {
	id, secret := strings.ToLower(rand.Text()[:keyIDLen]), drawSecret()
	if text = keyPrefix + id + "_" + secret; n.Pair {
		text = secret
	}
	perms := n.Permissions
	if n.Role != "" {
		perms = n.Role.Permissions()
	}
	products := slices.Clone(n.Products)
	slices.Sort(products)
	rec = &keyRecord{
		key: Key{ID: id, Name: n.Name, Project: n.Project, Role: n.Role, Permissions: perms, Products: slices.Compact(products), ProductRoles: n.ProductRoles,
			Created: fromMillis(a.now().UnixMilli()), Expires: n.Expires, Pair: n.Pair},
		hash: sha256.Sum256([]byte(text)),
	}
	if n.Pair {
		rec.private = credential.Secret(secret)
	}
	return text, rec
}

func drawSecret() string {
	var secret [secretLen]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand crashes the program instead
	return base64.RawURLEncoding.EncodeToString(secret[:])
}

const keyColumns = `id, name, hash, project, role, permissions, products, created_by, created_at, last_used_at, expires_at, pair`

func (a *Accounts) insertKey(ctx context.Context, tx *store.Tx, rec *keyRecord) error {
	k := &rec.key
	names := ""
	if k.Role == "" {
		names = k.Permissions.String()
	}
	_, err := tx.Exec(ctx, `INSERT INTO api_key (`+keyColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)`,
		k.ID, k.Name, rec.hash[:], k.Project, string(k.Role), names, k.productText(), k.CreatedBy, k.Created.UnixMilli(), millis(k.Expires), flag(k.Pair))
	if err != nil || !k.Pair {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO api_key_pair (id, secret) VALUES (?, ?)`, k.ID, a.db.Seal(store.PairSecret, k.ID, []byte(rec.private.Reveal())))
	return err
}

// productText is how the products are stored: by name, with a role of its own behind = if the key has one.
func (k *Key) productText() string {
	list := slices.Clone(k.Products)
	for sn, role := range k.ProductRoles {
		list = append(list, sn+"="+string(role))
	}
	return join(list)
}

func (k *Key) readProducts(text string) {
	for _, one := range split(text) {
		sn, role, ok := strings.Cut(one, "=")
		if !ok {
			k.Products = append(k.Products, sn)
			continue
		}
		if k.ProductRoles == nil {
			k.ProductRoles = map[string]Role{}
		}
		k.ProductRoles[sn] = Role(role)
	}
}

func scanKey(row scanner) (*keyRecord, error) {
	var (
		rec                    keyRecord
		hash                   []byte
		role, perms, products  string
		created, used, expires int64
		pair                   int64
	)
	k := &rec.key
	if err := row.Scan(&k.ID, &k.Name, &hash, &k.Project, &role, &perms, &products, &k.CreatedBy, &created, &used, &expires, &pair); err != nil {
		return nil, err
	}
	copy(rec.hash[:], hash)
	k.Role, k.Pair = Role(role), pair != 0
	k.readProducts(products)
	k.Permissions = k.Role.Permissions()
	for _, name := range split(perms) { // one that this version does not know gives nothing
		p, _ := ParsePermission(name)
		k.Permissions |= p
	}
	k.Created, k.LastUsed, k.Expires = fromMillis(created), fromMillis(used), fromMillis(expires)
	return &rec, nil
}

// Bootstrap makes the first owner key if there is no key at all; created tells.
func (a *Accounts) Bootstrap(ctx context.Context) (ownerKey string, created bool, err error) {
	text, rec := a.drawKey(NewKey{Name: "bootstrap", Project: HubProject, Role: RoleOwner})
	err = a.update(ctx, "create the owner's key", func(tx *store.Tx) error {
		var n int64
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM api_key`).Scan(&n); err != nil {
			return err
		}
		created = n == 0
		if !created {
			return nil
		}
		return a.insertKey(ctx, tx, rec)
	})
	if err != nil || !created {
		return "", false, err
	}
	return text, true, nil
}

// verifyKey returns the key whose text it is given, or ErrBadKey.
func (a *Accounts) verifyKey(ctx context.Context, text string) (*Caller, error) {
	id, ok := parseToken(text, keyPrefix, keyIDLen)
	if !ok {
		return nil, ErrBadKey
	}
	now := a.now()
	rec, err := a.lookupKey(ctx, id, now)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(text))
	if rec == nil || rec.key.Pair {
		// Takes as long as a wrong secret would.
		subtle.ConstantTimeCompare(hash[:], make([]byte, len(hash)))
		return nil, ErrBadKey
	}
	if subtle.ConstantTimeCompare(hash[:], rec.hash[:]) != 1 || !rec.key.Expires.IsZero() && !now.Before(rec.key.Expires) {
		return nil, ErrBadKey
	}
	if now.Sub(rec.key.LastUsed) >= usedStep {
		a.keyUsed(ctx, rec, now)
	}
	return &Caller{Identity: rec.identity, Expires: rec.key.Expires}, nil
}

// parseToken takes the id out of a token's text.
func parseToken(text, prefix string, idLen int) (id string, ok bool) {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok || len(rest) != idLen+1+base64.RawURLEncoding.EncodedLen(secretLen) || rest[idLen] != '_' {
		return "", false
	}
	return rest[:idLen], true
}

// lookupKey returns nil for an unknown id. Unknown ids are not remembered, so that guesses cannot push real keys out of
// the cache.
func (a *Accounts) lookupKey(ctx context.Context, id string, now time.Time) (*keyRecord, error) {
	if rec, ok := a.keys.Get(id); ok && a.fresh(rec.read, now) {
		return rec, nil
	}
	ticket := a.keys.Ticket(id)
	rec, err := a.readKey(ctx, a.db, id)
	if errors.Is(err, ErrNotFound) {
		a.keys.Remove(id)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("account: read key %s: %w", id, err)
	}
	if rec.key.Pair {
		rec.private, err = a.readPrivate(ctx, id)
		if errors.Is(err, store.ErrNoRows) { // deleted this very moment
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("account: read key %s: %w", id, err)
		}
	}
	rec.read = now
	rec.identity = newIdentity(KindKey, rec.key.ID, rec.key.Name, []Grant{rec.key.grant()})
	rec.identity.Expires = rec.key.Expires
	a.keys.Fill(id, ticket, rec)
	return rec, nil
}

func (a *Accounts) readKey(ctx context.Context, on querier, id string) (*keyRecord, error) {
	rec, err := scanKey(on.QueryRow(ctx, `SELECT `+keyColumns+` FROM api_key WHERE id = ?`, id))
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrNotFound
	}
	return rec, err
}

// keyUsed notes that a key was used. That it cannot be stored just now does not make the key worse: the next use tries
// again.
func (a *Accounts) keyUsed(ctx context.Context, rec *keyRecord, now time.Time) {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE api_key SET last_used_at = ? WHERE id = ?`, now.UnixMilli(), rec.key.ID)
		return err
	})
	if err != nil {
		return
	}
	a.keys.Update(rec.key.ID, func(old *keyRecord) (*keyRecord, bool) {
		next := *old
		next.key.LastUsed = now
		return &next, true
	})
}

// visibleKey tells whether p may know of a key: one of the request's project, or with a right on the hub any.
func visibleKey(p *Principal, k *Key) bool { return k.Project == p.Project || p.Everywhere }

// Key returns a key that p may know of.
func (a *Accounts) Key(ctx context.Context, p *Principal, id string) (*Key, error) {
	rec, err := a.readKey(ctx, a.db, id)
	if err != nil {
		return nil, err
	}
	if !visibleKey(p, &rec.key) {
		return nil, ErrNotFound
	}
	return &rec.key, nil
}

// DeleteKey ends a key at once, everywhere. The hub's last owner key that does not expire stays.
func (a *Accounts) DeleteKey(ctx context.Context, p *Principal, id string) error {
	err := a.update(ctx, "delete key "+id, func(tx *store.Tx) error {
		rec, err := a.readKey(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case !visibleKey(p, &rec.key):
			return ErrNotFound
		case !p.covers(rec.key.grant()):
			return ErrExceeds
		}
		if rec.key.Project == HubProject && rec.key.Role == RoleOwner && !rec.key.Pair {
			if err := otherOwnerKey(ctx, tx, id); err != nil {
				return err
			}
		}
		return execAll(ctx, tx, []any{id}, `DELETE FROM api_key_pair WHERE id = ?`, `DELETE FROM api_key WHERE id = ?`)
	})
	if err != nil {
		return err
	}
	a.changed(KeyChanged, id)
	return nil
}

// otherOwnerKey holds that there is an owner key of the hub beside id.
func otherOwnerKey(ctx context.Context, tx *store.Tx, id string) error {
	var others int64
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM api_key WHERE role = ? AND project = ? AND expires_at = 0 AND pair = 0 AND id <> ?`,
		string(RoleOwner), HubProject, id).Scan(&others)
	if err == nil && others == 0 {
		return ErrLastOwner
	}
	return err
}
