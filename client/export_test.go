package client

// Waiting counts the handles that the reader knows.
func (k *Kafka) Waiting() (n int) {
	k.reader.mu.Lock()
	defer k.reader.mu.Unlock()
	for _, list := range k.reader.waiters {
		n += len(list)
	}
	return n
}
