package account

import (
	"math/bits"
	"testing"
)

func TestPermissionNames(t *testing.T) {
	if got, want := len(permissionNames), bits.OnesCount64(uint64(All)); got != want {
		t.Fatalf("%d names for %d permissions", got, want)
	}
	var sum Permission
	for i, name := range permissionNames {
		p, ok := ParsePermission(name)
		if !ok || p != 1<<i || p.String() != name {
			t.Errorf("%s: parsed as %d (%s), %v", name, p, p, ok)
		}
		sum |= p
	}
	if sum != All || len(All.Names()) != len(permissionNames) {
		t.Errorf("the names make %d, want %d", sum, All)
	}
	for _, name := range []string{"", "device", "device.read,device.write", "Device.read"} {
		if p, ok := ParsePermission(name); ok {
			t.Errorf("%q is read as %s", name, p)
		}
	}
	if got, want := (DeviceControl | ProductRead).String(), "product.read,device.control"; got != want {
		t.Errorf("String() = %s, want %s", got, want)
	}
}

func TestRolesContainEachOther(t *testing.T) {
	all := Roles()
	for i, weak := range all {
		for j, strong := range all {
			if got, want := strong.Covers(weak), j >= i; got != want {
				t.Errorf("%s covers %s: %v, want %v", strong, weak, got, want)
			}
		}
		if weak.Permissions().Has(DeviceSecret|DeviceRead) != (i >= 2) {
			t.Errorf("%s sees secrets: %v", weak, i < 2)
		}
	}
	if Role("king").Valid() || Role("king").Permissions() != 0 || RoleOwner.Covers("king") || Role("king").Covers("king") {
		t.Error("an unknown role has something")
	}
}

func TestNobodyHasNothing(t *testing.T) {
	if From(t.Context()).May(0) {
		t.Error("no caller may something")
	}
	p := &Principal{Permissions: DeviceRead, Products: map[string]Permission{"a": DeviceRead | DeviceControl}}
	if got := From(WithPrincipal(t.Context(), p)); got != p {
		t.Errorf("From = %+v", got)
	}
	if !p.On("a").Has(DeviceControl) || p.On("b") != 0 {
		t.Errorf("on a %s, on b %s", p.On("a"), p.On("b"))
	}
}

func BenchmarkPermissionCheck(b *testing.B) {
	ctx := WithPrincipal(b.Context(), &Principal{Permissions: operator})
	b.ReportAllocs()
	for b.Loop() {
		if !From(ctx).May(DeviceRead) {
			b.Fatal("refused")
		}
	}
}
