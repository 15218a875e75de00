package mqttconform

// Chapter 1: strings and integers.

// place is a field of a packet that holds a string; put sends it with the string in it and waits to be cut off.
type place struct {
	name string
	put  func(r *run, s string)
}

var (
	inClientID = place{"client id", func(r *run, s string) {
		r.refused("client id", r.hello(con{id: s, clean: true}))
	}}
	inUserName = place{"user name", func(r *run, s string) {
		r.refused("user name", r.hello(con{id: r.id("u"), clean: true, user: &s, password: &r.target.Password}))
	}}
	inWillTopic = place{"will topic", func(r *run, s string) {
		r.refused("will topic", r.hello(con{id: r.id("w"), clean: true, will: &will{topic: r.topic(s)}}))
	}}
	inTopic = place{"topic", func(r *run, s string) {
		r.breaks("topic", pub{topic: r.topic(s)}.bytes(r.level))
	}}
	inFilter = place{"filter", func(r *run, s string) {
		r.breaks("filter", subscribePacket(r.level, 1, nil, sub{r.topic(s), 0}))
	}}
	inUnsubscribed = place{"filter of UNSUBSCRIBE", func(r *run, s string) {
		r.breaks("filter of UNSUBSCRIBE", unsubscribePacket(r.level, 1, r.topic(s)))
	}}
	inResponseTopic = place{"response topic", func(r *run, s string) {
		r.breaks("response topic", pub{topic: r.topic("a"), props: str(pResponseTopic, s)}.bytes(r.level))
	}}
	inContentType = place{"content type", func(r *run, s string) {
		r.breaks("content type", pub{topic: r.topic("a"), props: str(pContentType, s)}.bytes(r.level))
	}}
	inUserPropName = place{"name of a user property", func(r *run, s string) {
		r.breaks("name of a user property", pub{topic: r.topic("a"), props: userProp(s, "v")}.bytes(r.level))
	}}
	inUserPropValue = place{"value of a user property", func(r *run, s string) {
		r.breaks("value of a user property", pub{topic: r.topic("a"), props: userProp("n", s)}.bytes(r.level))
	}}
	everyPlace = []place{inClientID, inUserName, inWillTopic, inTopic, inFilter, inUnsubscribed}
)

// notUTF8 are a broken sequence, a surrogate, a byte that never stands in UTF-8, and an overlong form.
var notUTF8 = []string{"\xc3\x28", "\xed\xa0\x80", "a\xff", "\xc0\xaf"}

// takesNo checks that none of the strings is taken in the places.
func takesNo(bad []string, places ...place) check {
	return func(r *run) {
		for _, p := range places {
			for _, s := range bad {
				p.put(r, s)
			}
		}
	}
}

var (
	illFormed = takesNo(notUTF8, everyPlace...)
	nullChar  = takesNo([]string{"a\x00b"}, everyPlace...)
)

// byteOrderMark: EF BB BF is a character like any other and stays where it is.
func byteOrderMark(r *run) {
	marked := r.topic("\ufeffa")
	with, without := r.client("with"), r.client("without")
	with.granted(marked, 0)
	without.granted(r.topic("a"), 0)
	r.client("p").publish(pub{topic: marked, payload: "\ufeffx", qos: 1})
	with.expect(marked, "\ufeffx", 0)
	without.quiet("a filter without the mark matched")
}

// shortLengths: the server's lengths take as few bytes as they can; the reader judges each packet.
func shortLengths(r *run) {
	s, p := r.client("s"), r.client("p")
	topic := r.topic("a")
	s.granted(topic, 0)
	for _, n := range []int{0, 1, 100, 127, 128, 200, 16_383, 16_384, 20_000} {
		payload := string(make([]byte, n))
		p.publish(pub{topic: topic, payload: payload, qos: 1})
		s.expect(topic, payload, 0)
	}
}
