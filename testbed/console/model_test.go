package console

// model is the thing model of the test's pumps.
const model = `{
  "Property": [
    {"Identifier": "pressure", "Name": "Pressure", "AccessMode": "r", "DataType": {"Type": "float64", "Spec": {"Min": 0, "Max": 20, "Step": 0.01, "UnitName": "bar"}}},
    {"Identifier": "label", "Name": "Label", "AccessMode": "rw", "DataType": {"Type": "string", "Spec": {"Length": 200}}},
    {"Identifier": "on", "Name": "Running", "AccessMode": "rw", "DataType": {"Type": "bool", "Spec": {"0": "off", "1": "on"}}}
  ],
  "Event": [
    {"Identifier": "leak", "Name": "Leak", "Type": "warning",
     "Output": [{"Identifier": "where", "Name": "Where", "DataType": {"Type": "string", "Spec": {"Length": 200}}}]}
  ],
  "Command": [
    {"Identifier": "rinse", "Name": "Rinse",
     "Input": [{"Identifier": "seconds", "Name": "Seconds", "DataType": {"Type": "int32", "Spec": {"Min": 1, "Max": 600, "UnitName": "s"}}},
               {"Identifier": "mode", "Name": "Mode", "DataType": {"Type": "enum", "Spec": {"1": "gentle", "2": "strong"}}},
               {"Identifier": "note", "Name": "Note", "DataType": {"Type": "string", "Spec": {"Length": 60}}}],
     "Output": [{"Identifier": "used", "Name": "Water used", "DataType": {"Type": "float64", "Spec": {"Min": 0, "Max": 1000, "UnitName": "l"}}}]}
  ]
}`

// script is what a device calls itself to find out whether its words are run somewhere.
const script = `<img src=x onerror="globalThis.pwned=1"><script>globalThis.pwned=2</script>`
