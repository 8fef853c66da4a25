package alerts

import (
	"context"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// Reseal seals the notification file under the first of the master keys and returns how
// many texts that were, none or one. A running notifier takes it up as it takes up a
// change, and nobody is told of anything again. The error is Invalid where no master key
// opens the file.
func Reseal(ctx context.Context, db *postgres.DB, vault *sign.Vault) (int, error) {
	for {
		c, err := db.NotificationConfig(ctx)
		if sentinel.CodeOf(err) == sentinel.NotFound {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		if c.MasterKeyID == vault.ID() {
			return 0, nil
		}
		text, err := vault.OpenText(NotificationPurpose, c.Sealed)
		if err != nil {
			return 0, sentinel.Errorf(sentinel.Invalid, "the notification file is sealed under master key %q, which does not open it: keep that key's line in the master key file, or write the file anew with `sentinelctl route apply`", c.MasterKeyID)
		}
		if err := db.ResealNotificationConfig(ctx, c, vault.SealText(NotificationPurpose, text), vault.ID()); err != nil {
			return 0, err
		}
		now, err := db.NotificationConfig(ctx)
		if err == nil && now.MasterKeyID != vault.ID() {
			continue // somebody else has changed it meanwhile, under the old key
		}
		return 1, err
	}
}
