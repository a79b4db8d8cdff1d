select bpnl, dsp_url, did, protocol
from outbox.partner
order by bpnl
