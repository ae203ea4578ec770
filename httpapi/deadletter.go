package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"unicode/utf8"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// ListDeadLetters is answered by the partition's owner.
func (s operations) ListDeadLetters(w http.ResponseWriter, r *http.Request, p int32, q api.ListDeadLettersParams) {
	limit, bad := pageLimit(q.Limit)
	if n := s.cfg.Engine.Partitions(); bad == nil && (p < 0 || p >= n) {
		bad = problem(api.CodeRequestInvalid, "there is no partition %d: they are 0 to %d", p, n-1)
	}
	var after *record.Origin
	if bad == nil && q.After != "" {
		o, err := record.ParseDeadLetterID(q.After)
		if err != nil {
			bad = problem(api.CodeRequestInvalid, "the parameter after: %v", err)
		}
		after = &o
	}
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	s.routeTo(w, &call{r: r}, p, func(ctx context.Context) (answer, error) {
		rows, err := s.cfg.Engine.DeadLetters(ctx, p, after, q.Code, limit)
		if err != nil {
			return answer{}, err
		}
		page := api.DeadLetterPage{Partitions: s.cfg.Engine.Partitions(), DeadLetters: make([]api.DeadLetter, 0, len(rows))}
		for i := range rows {
			page.DeadLetters = append(page.DeadLetters, deadLetter(&rows[i]))
		}
		if len(rows) == limit {
			page.Next = rows[len(rows)-1].ID()
		}
		return answer{status: http.StatusOK, body: page}, nil
	})
}

// GetDeadLetter shows one.
func (s operations) GetDeadLetter(w http.ResponseWriter, r *http.Request, id string) {
	o, bad := s.deadLetterOf(id)
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	s.routeTo(w, &call{r: r}, o.Partition, func(ctx context.Context) (answer, error) {
		row, ok, err := s.cfg.Engine.DeadLetter(ctx, o)
		if err == nil && !ok {
			err = problem(api.CodeDeadLetterNotFound, "there is no dead letter %s: it was taken in or discarded, or was never there", id)
		}
		if err != nil {
			return answer{}, err
		}
		return answer{status: http.StatusOK, body: deadLetter(&row)}, nil
	})
}

// RetryDeadLetter answers when the record was taken in.
func (s operations) RetryDeadLetter(w http.ResponseWriter, r *http.Request, id string, p api.RetryDeadLetterParams) {
	c := &call{r: r}
	body, bad := s.readPayload(r)
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	c.body = body
	edited, bad := rawOf(c.body)
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	s.redrive(w, c, id, p.IdempotencyKey, p.Reason, &record.Redrive{Edited: edited}, api.Retried)
}

// DiscardDeadLetter answers when it is forgotten.
func (s operations) DiscardDeadLetter(w http.ResponseWriter, r *http.Request, id string, p api.DiscardDeadLetterParams) {
	s.redrive(w, &call{r: r}, id, p.IdempotencyKey, p.Reason, &record.Redrive{Discard: true}, api.Discarded)
}

func (s operations) redrive(w http.ResponseWriter, c *call, id, key, reason string, body *record.Redrive, done api.DeadLetterDoneOutcome) {
	o, bad := s.deadLetterOf(id)
	if bad == nil && (len(reason) > reasonBytesMax || !utf8.ValidString(reason)) {
		bad = problem(api.CodeRequestInvalid, "the parameter reason is not UTF-8 or has more than %d bytes: shorten it", reasonBytesMax)
	}
	if bad == nil {
		c.commandID, bad = commandIDOf(key)
	}
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	c.workflowID = codec.RedriveKey
	body.Origin, body.CommandID, body.Reason, body.By, body.Reply = o, c.commandID, reason, caller(c.r), true
	s.routeTo(w, c, o.Partition, func(ctx context.Context) (answer, error) {
		if _, err := s.submit(ctx, c, body); err != nil {
			return answer{}, err
		}
		s.logger.Info("dead letter", "id", id, "outcome", string(done), "by", body.By, "reason", reason)
		return answer{status: http.StatusOK, body: api.DeadLetterDone{ID: id, Outcome: done}}, nil
	})
}

func (s operations) deadLetterOf(id string) (record.Origin, *problemError) {
	o, err := record.ParseDeadLetterID(id)
	switch n := s.cfg.Engine.Partitions(); {
	case err != nil:
		return o, problem(api.CodeRequestInvalid, "%v", err)
	case o.Partition >= n:
		return o, problem(api.CodeRequestInvalid, "there is no partition %d: they are 0 to %d", o.Partition, n-1)
	}
	return o, nil
}

func deadLetter(d *record.DeadLetterRow) api.DeadLetter {
	v := api.DeadLetter{ID: d.ID(), Code: d.Code, Reason: d.Reason, At: d.At.Time(), Record: api.KafkaRecord{Key: string(d.Raw.Key)}}
	v.Record.Value, v.Record.Encoding = textOf(d.Raw.Value)
	for _, h := range d.Raw.Headers {
		header := api.KafkaHeader{Key: h.Key}
		header.Value, header.Encoding = textOf(h.Value)
		v.Record.Headers = append(v.Record.Headers, header)
	}
	return v
}

// textOf shows bytes.
func textOf(b []byte) (string, api.Encoding) {
	if utf8.Valid(b) {
		return string(b), ""
	}
	return base64.StdEncoding.EncodeToString(b), api.Base64
}

// rawOf reads the record in place of a dead letter's; nil: there is none.
func rawOf(body []byte) (*record.Raw, *problemError) {
	if len(body) == 0 {
		return nil, nil
	}
	var k api.KafkaRecord
	if err := json.Unmarshal(body, &k); err != nil {
		return nil, problem(api.CodeRequestInvalid, "the body is a record as a dead letter shows it, such as {\"key\":\"order-7\",\"value\":\"{}\"}, but: %v", err)
	}
	raw := &record.Raw{Key: []byte(k.Key)}
	var err error
	if raw.Value, err = bytesOf(k.Value, k.Encoding); err != nil {
		return nil, problem(api.CodeRequestInvalid, "the record's value: %v", err)
	}
	for _, h := range k.Headers {
		v, err := bytesOf(h.Value, h.Encoding)
		if err != nil {
			return nil, problem(api.CodeRequestInvalid, "header %q of the record: %v", h.Key, err)
		}
		raw.Headers = append(raw.Headers, record.Header{Key: h.Key, Value: v})
	}
	return raw, nil
}

func bytesOf(text string, e api.Encoding) ([]byte, error) {
	if e == api.Base64 {
		return base64.StdEncoding.DecodeString(text)
	}
	return []byte(text), nil
}
