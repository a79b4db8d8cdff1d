package receiver

// RecordAtMost limits how many bytes an hour of a partner are recorded.
func (rc *Receiver) RecordAtMost(bytes int) { rc.recording.limit = bytes }
