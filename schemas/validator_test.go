package schemas_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"consentd/schemas"
)

// schema is one of the embedded JSON Schemas, read by a validator that shares no code with the decoder.
type schema struct{ compiled *jsonschema.Schema }

func loadSchema(t testing.TB, name string) schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	files, err := fs.Glob(schemas.FS, "*.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := schemas.FS.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := c.AddResource("consentd:///"+file, doc); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	compiled, err := c.Compile("consentd:///" + name + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema{compiled}
}

// validate returns why text is not valid by the schema.
func (s schema) validate(text []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.compiled.Validate(v)
}

// decodeStrictly reads text with the standard library; fields that v does not have are an error.
func decodeStrictly(text []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}
