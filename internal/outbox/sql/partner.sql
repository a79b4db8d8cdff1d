select coalesce(dsp_url, ''), coalesce(did, ''), coalesce(protocol, ''), xmin::text
from outbox.partner
where bpnl = $1
