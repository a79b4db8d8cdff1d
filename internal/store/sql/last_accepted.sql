select sender, max(received_at) from dcm.message where status < 300 group by sender
