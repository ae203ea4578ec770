package statestore

import (
	"bufio"
	"encoding/hex"
	"io"

	"github.com/odradek/odradek/codec"
)

func (s *Store) dump(w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	var line []byte
	err := scan(s.db, nil, nil, func(key, value []byte) (bool, error) {
		k, err := codec.DecodeKey(key)
		if err != nil {
			return false, err
		}
		switch k.Kind {
		case codec.RowMeta, codec.RowCheckpoint, codec.RowWitness:
			return true, nil
		}
		line = hex.AppendEncode(line[:0], key)
		line = append(line, ' ')
		line = hex.AppendEncode(line, value)
		_, err = out.Write(append(line, '\n'))
		return true, err
	})
	if err != nil {
		return s.wrap(err, "dump the rows")
	}
	return out.Flush()
}
