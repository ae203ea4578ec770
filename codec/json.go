package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// EncodeJSON gives the bytes of encoding/json, and its errors, in less of its time. One
// thing differs: for what is no UTF-8 it has U+FFFD itself, not its escape.
func EncodeJSON(v any) ([]byte, error) {
	if text, err := jsonv2.Marshal(v, plainJSON); err == nil {
		return text, nil
	}
	return json.Marshal(v)
}

// DecodeJSON fills what out points to as encoding/json does, in half of its time. With
// strict, a member that a struct does not have is an error. Errors are those of
// encoding/json, which is asked again when something does not fit.
func DecodeJSON(text []byte, out any, strict bool) error {
	opts := lenientJSON
	if strict {
		opts = strictJSON
	}
	if jsonv2.Unmarshal(text, out, opts) == nil {
		return nil
	}
	return decodePlain(text, out, strict)
}

// validJSON is utf8.Valid and json.Valid, in half of their time.
func validJSON(text []byte) bool {
	return utf8.Valid(text) && jsontext.Value(text).IsValid(plainText)
}

// The option for UTF-8 is also one for halves of surrogate pairs.
var plainText = jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// decodePlain is DecodeJSON by encoding/json alone.
func decodePlain(text []byte, out any, strict bool) error {
	if !strict {
		return json.Unmarshal(text, out)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("more follows the JSON value at byte %d", d.InputOffset())
	}
	return nil
}

// Both decode as the first version of the package does: names in any case, the last of
// equal names, null leaves a value as it is. A json.Number is left to encoding/json: to
// the other package it is a text.
var (
	plainJSON = jsonv2.JoinOptions(jsonv1.DefaultOptionsV1(), jsonv2.WithMarshalers(
		jsonv2.MarshalToFunc(func(*jsontext.Encoder, json.Number) error { return errNumber })))
	lenientJSON = jsonv2.JoinOptions(jsonv1.DefaultOptionsV1(), jsonv2.WithUnmarshalers(
		jsonv2.UnmarshalFromFunc(func(*jsontext.Decoder, *json.Number) error { return errNumber })))
	strictJSON = jsonv2.JoinOptions(lenientJSON, jsonv2.RejectUnknownMembers(true))
)

var errNumber = errors.New("a json.Number")
