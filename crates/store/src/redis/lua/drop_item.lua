-- Takes an item out of the quarantine. Answers whether it was there. ARGV: its id.
return drop_item(ARGV[1])
