package codec

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/odradek/odradek/record"
)

// Keys of rows on the topic status that workers and engines share.
const (
	statusWorker  = "worker/"  // + the worker's instance
	statusService = "service/" // + the service
)

// EncodeWorkerRow makes the record of a worker's row.
func EncodeWorkerRow(row *record.WorkerRow) (key, value []byte) {
	return WorkerRowKey(row.Instance), encodeStatus(row)
}

// WorkerRowKey is the key of a worker's row; with no value it is taken back.
func WorkerRowKey(instance string) []byte { return []byte(statusWorker + instance) }

// EncodeServiceRow makes the record of what operators did to a service.
func EncodeServiceRow(service string, row *record.ServiceRow) (key, value []byte) {
	return []byte(statusService + service), encodeStatus(row)
}

func encodeStatus(row any) []byte {
	b, err := json.Marshal(row)
	if err != nil {
		panic(err) // of texts and numbers
	}
	return b
}

// DecodeWorkerRow reads a worker's row. ok: the key is one's. A nil row is taken back.
func DecodeWorkerRow(key, value []byte) (instance string, row *record.WorkerRow, ok bool, err error) {
	if instance, ok = strings.CutPrefix(string(key), statusWorker); !ok || len(value) == 0 {
		return instance, nil, ok, nil
	}
	row = new(record.WorkerRow)
	if err := json.Unmarshal(value, row); err != nil {
		return instance, nil, true, fmt.Errorf("the row %s is no worker's: %w", key, err)
	}
	return instance, row, true, nil
}

// DecodeServiceRow reads what operators did to a service. ok: the key is one's. A nil row is
// as if nothing was done.
func DecodeServiceRow(key, value []byte) (service string, row *record.ServiceRow, ok bool, err error) {
	if service, ok = strings.CutPrefix(string(key), statusService); !ok || len(value) == 0 {
		return service, nil, ok, nil
	}
	row = new(record.ServiceRow)
	if err := json.Unmarshal(value, row); err != nil {
		return service, nil, true, fmt.Errorf("the row %s is no service's: %w", key, err)
	}
	return service, row, true, nil
}
