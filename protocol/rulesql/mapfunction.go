package rulesql

import "slices"

// objects are the functions of objects. What they make keeps the order of the members.
func objects() []function {
	return []function{
		{name: "keys", params: "o", run: func(_ *Env, _ *Call, o, _, _ val) val {
			var out []val
			o.members(func(key string, _ val) bool { out = append(out, text(key)); return true })
			return array(out)
		}},
		{name: "values", params: "o", run: func(_ *Env, _ *Call, o, _, _ val) val { _, vals := o.pairs(); return array(vals) }},
		{name: "map_get", params: "otv?", run: mapGet},
		{name: "map_put", params: "otv", run: mapPut},
		{name: "map_remove", params: "ot", run: mapRemove},
		{name: "map_merge", params: "oo", run: mapMerge},
		{name: "map_has", params: "ot", run: func(_ *Env, _ *Call, o, key, _ val) val { return boolean(o.member(key.str).kind != vMissing) }},
	}
}

// mapGet is a member, or what is given for one that is missing.
func mapGet(_ *Env, _ *Call, o, key, otherwise val) val {
	if v := o.member(key.str); v.kind != vMissing {
		return v
	}
	return otherwise
}

func mapPut(_ *Env, _ *Call, o, key, v val) val {
	keys, vals := o.pairs()
	if v.kind == vMissing {
		return object(keys, vals)
	}
	if i := slices.Index(keys, key.str); i >= 0 {
		vals[i] = v
		return object(keys, vals)
	}
	return object(append(keys, key.str), append(vals, v))
}

func mapRemove(_ *Env, _ *Call, o, key, _ val) val {
	keys, vals := o.pairs()
	if i := slices.Index(keys, key.str); i >= 0 {
		keys, vals = slices.Delete(keys, i, i+1), slices.Delete(vals, i, i+1)
	}
	return object(keys, vals)
}

// mapMerge is both; of members with the same name the second's.
func mapMerge(e *Env, x *Call, a, b, _ val) val {
	if a.length()+b.length() > 2*MaxMembers {
		return e.fail(FaultLimit, x, "the object has more than 200 members")
	}
	var o objectBuilder
	a.members(o.put)
	b.members(o.put)
	return object(o.keys, o.vals)
}
