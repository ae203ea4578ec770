package apis

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"time"
)

// parseConsumption: GET /customers/{customer}/consumption?until=INSTANT gives
// {"customer_id": "...", "until": "...", "meter": {"kwh": 240}}. What a customer
// used is the same whenever it is asked for.
func parseConsumption(r *http.Request, _ []byte) (call, error) {
	until, err := instant("until", r.URL.Query().Get("until"))
	customer := r.PathValue("customer")
	return call{customer, until, func(int) any {
		h := fnv.New32a()
		fmt.Fprintf(h, "%s/%d", customer, until.UnixMilli())
		return map[string]any{"customer_id": customer, "until": until, "meter": map[string]any{"kwh": 80 + h.Sum32()%340}}
	}}, err
}

// parsePayment: POST /v2/payments takes
// {"account": "...", "period_end": "...", "amount": {"value": 7440, "currency": "EUR"}}
// and gives {"payment_id": "pay_000017", "status": "captured", "amount": {...}}.
func parsePayment(_ *http.Request, body []byte) (call, error) {
	type amount struct {
		Value    int64  `json:"value"`
		Currency string `json:"currency"`
	}
	var in struct {
		Account   string `json:"account"`
		PeriodEnd string `json:"period_end"`
		Amount    amount `json:"amount"`
	}
	if err := decode(body, &in); err != nil {
		return call{}, err
	}
	month, err := instant("period_end", in.PeriodEnd)
	switch {
	case err != nil:
	case in.Account == "":
		err = errors.New("account is missing")
	case in.Amount.Value < 0 || in.Amount.Currency != "EUR":
		err = fmt.Errorf("amount %d %s: it must be an amount of EUR that is not negative", in.Amount.Value, in.Amount.Currency)
	}
	return call{in.Account, month, func(n int) any {
		return map[string]any{"payment_id": fmt.Sprintf("pay_%06d", n), "status": "captured", "amount": in.Amount}
	}}, err
}

// parseInvoice: POST /customers/{customer}/invoices takes
// {"payment_id": "...", "period_end": "...", "lines": [{"text": "kWh", "quantity": 240}]}
// and gives {"invoice": {"number": "INV-000017"}}: numbers have no gaps, so a second
// invoice for a month would show.
func parseInvoice(r *http.Request, body []byte) (call, error) {
	var in struct {
		PaymentID string `json:"payment_id"`
		PeriodEnd string `json:"period_end"`
		Lines     []struct {
			Text     string `json:"text"`
			Quantity int64  `json:"quantity"`
		} `json:"lines"`
	}
	if err := decode(body, &in); err != nil {
		return call{}, err
	}
	month, err := instant("period_end", in.PeriodEnd)
	switch {
	case err != nil:
	case in.PaymentID == "":
		err = errors.New("payment_id is missing")
	case len(in.Lines) == 0:
		err = errors.New("lines are missing: an invoice has at least one")
	}
	return call{r.PathValue("customer"), month, func(n int) any {
		return map[string]any{"invoice": map[string]any{"number": fmt.Sprintf("INV-%06d", n)}}
	}}, err
}

// parseEmail: POST /messages takes
// {"to": "...", "template": "invoice", "values": {"invoice": "...", "period_end": "..."}}
// and gives {"message_id": "msg_000017"}.
func parseEmail(_ *http.Request, body []byte) (call, error) {
	var in struct {
		To       string `json:"to"`
		Template string `json:"template"`
		Values   struct {
			Invoice   string `json:"invoice"`
			PeriodEnd string `json:"period_end"`
		} `json:"values"`
	}
	if err := decode(body, &in); err != nil {
		return call{}, err
	}
	month, err := instant("values.period_end", in.Values.PeriodEnd)
	switch {
	case err != nil:
	case in.To == "":
		err = errors.New("to is missing")
	case in.Template != "invoice":
		err = fmt.Errorf("there is no template %q", in.Template)
	}
	return call{in.To, month, func(n int) any {
		return map[string]any{"message_id": fmt.Sprintf("msg_%06d", n)}
	}}, err
}

func decode(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("the body does not fit: %w", err)
	}
	return nil
}

func instant(field, s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, fmt.Errorf("%s %q is no instant such as 2026-01-31T23:00:00Z", field, s)
	}
	return t.UTC(), nil
}
