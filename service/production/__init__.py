"""A complete production configuration folder: secrets, certificates, the broker's accounts."""
